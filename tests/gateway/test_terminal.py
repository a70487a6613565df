"""What a person sees while pairing, and what becomes of what they type."""

import pytest

from devices.profiles.profile import Bonding
from gateway.ble.pairing import Step
from gateway.desk import (
    Answer,
    Chosen,
    Compared,
    Event,
    Failed,
    Family,
    FoundDevice,
    GivenUp,
    PairedNow,
    ShowsPasskey,
    Stepped,
    Typed,
    UnpairedNow,
    WantsChoice,
    WantsComparison,
    WantsPasskey,
    WithoutPasskey,
    line_of,
)
from gateway.terminal import JsonScreen, TextScreen

CUFFS = (
    Family("a-and-d-blood-pressure", "A&D (blodtryck)", "Håll startknappen."),
    Family("sig-blood-pressure", "Blodtrycksmätare", ""),
)
CUFF = FoundDevice(1, "C0:FF:EE:00:00:01", "A&D_UA-651BLE", -48, False, CUFFS)
SCALE = FoundDevice(2, "C0:FF:EE:00:00:02", "", -88, True, CUFFS[1:])
UNKNOWN = FoundDevice(3, "C0:FF:EE:00:00:03", "X", -70, False, ())
PAIRED = PairedNow(
    CUFF.address, "ble-c0ffee000001", "UA-651BLE", "A&D", "p", "A&D (blodtryck)", True, "no_passkey"
)


class Typist:
    """Tells a screen events and types lines; ``sent`` is what it would send."""

    def __init__(self, *, is_running: bool = True) -> None:
        self.screen = TextScreen(is_running)
        self.sent: list[bytes] = []

    def tell(self, *events: Event) -> None:
        for event in events:
            if (answer := self.screen.told(line_of(event))) is not None:
                self.sent.append(line_of(answer))

    def type(self, *lines: str | None) -> None:
        for line in lines:
            if (out := self.screen.typed(line)) is not None:
                self.sent.append(out)

    def expect(self, *answers: Answer) -> None:
        assert self.sent == [line_of(answer) for answer in answers]


def test_a_device_is_chosen_by_its_number_and_the_end_says_how_to_try_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    at = Typist()
    at.tell(Stepped(Step.LOOKING), WantsChoice(), SCALE)
    at.type("7", "two", "2")
    at.expect(Chosen(number=2))
    at.tell(Stepped(Step.PAIRING), Stepped(Step.CHECKING), PAIRED)
    assert (at.screen.is_over, at.screen.exit_code) == (True, 0)
    out = capsys.readouterr().out
    assert "2  no name  C0:FF:EE:00:00:02  -88 dBm, far away  Blodtrycksmätare" in out
    assert "paired with this gateway already" in out
    assert "There is no '7' in the list." in out
    assert "Paired: A&D UA-651BLE (A&D (blodtryck)), C0:FF:EE:00:00:01; bonded" in out
    assert "From now on the gateway listens to it" in out
    assert "take a measurement (ta en mätning)" in out


def test_a_passkey_that_nobody_wanted_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    at = Typist()
    at.tell(WithoutPasskey(CUFF.address, Bonding.PASSKEY_SHOWN), PAIRED)
    out = capsys.readouterr().out
    assert "paired with six digits, and this one wanted none" in out
    assert "kontrollera att det är rätt apparat" in out
    assert f"hemma gateway unpair {CUFF.address}" in out
    assert (at.screen.is_over, at.screen.exit_code) == (True, 0)


@pytest.mark.parametrize(("typed", "profile"), [("", 0), ("1", 0), ("2", 1)])
def test_which_family_is_asked_where_there_are_several(typed: str, profile: int) -> None:
    at = Typist()
    at.tell(WantsChoice(), CUFF)
    at.type("1", "9", "beurer", typed)
    at.expect(Chosen(number=1, profile=CUFFS[profile].profile))


def test_a_device_of_no_known_family_needs_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    at = Typist(is_running=False)
    at.tell(WantsChoice(), UNKNOWN)
    at.type("3", "kitchen", "sig-blood-pressure")
    at.expect(Chosen(number=3, profile="sig-blood-pressure"))
    at.tell(PAIRED)
    out = capsys.readouterr().out
    assert "-70 dBm, in the room  ?" in out
    assert "as soon as it runs" in out


def test_passkeys_are_typed_shown_and_compared(capsys: pytest.CaptureFixture[str]) -> None:
    at = Typist()
    at.tell(WantsPasskey())
    at.type("12", "12345x", "012 345")
    at.tell(ShowsPasskey("000042"), WantsComparison("123456"))
    at.type("perhaps", "y")
    at.tell(WantsComparison("123456"))
    at.type("no")
    at.expect(Typed("012345"), Compared(same=True), Compared(same=False))
    out = capsys.readouterr().out
    assert out.count("Type the six digits that the device shows:") == 3
    assert "on the device: 000042" in out


def test_giving_up_and_the_end_of_the_input() -> None:
    at = Typist()
    at.type("nobody asked")
    at.tell(WantsChoice())
    at.type("q")
    at.expect(GivenUp())
    at = Typist()
    at.tell(WantsPasskey())
    at.type(None)
    at.expect(GivenUp())
    at = Typist()
    at.type(None)
    at.tell(WantsPasskey())
    at.expect(GivenUp())


def test_failures_and_unpairing_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    at = Typist()
    at.tell(Failed("refused", "It refused.", "Try again."))
    assert (at.screen.is_over, at.screen.exit_code) == (True, 1)
    assert capsys.readouterr().err == "It refused. Try again.\n"
    at = Typist()
    at.tell(UnpairedNow(CUFF.address, "ble-c0ffee000001", "UA-651BLE"))
    assert (at.screen.is_over, at.screen.exit_code) == (True, 0)
    assert "What it sent before is kept" in capsys.readouterr().out


def test_a_program_sees_the_lines_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    screen = JsonScreen()
    assert screen.told(line_of(WantsChoice())) is None
    assert screen.typed('{"answer":"choose","number":1}\n') == b'{"answer":"choose","number":1}\n'
    assert screen.typed(None) is None, "nothing is asked"
    assert screen.told(line_of(WantsPasskey())) == GivenUp()
    assert not screen.is_over
    screen.told(line_of(Failed("refused", "It refused.", "Try again.")))
    assert (screen.is_over, screen.exit_code) == (True, 1)
    assert capsys.readouterr().out.splitlines() == [
        '{"event":"choose"}',
        '{"event":"type_passkey"}',
        '{"event":"failed","code":"refused","error":"It refused.","remedy":"Try again."}',
    ]


def test_a_program_that_ends_while_it_is_asked_gives_up() -> None:
    screen = JsonScreen()
    screen.told(line_of(WantsChoice()))
    assert screen.typed(None) == line_of(GivenUp())
