"""``hemma devices``: values to JSON, the catalogue (contract.md 3), and traces of real devices."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from devices import gatt
from devices.answers import cases, print_answers, quietly
from devices.errors import DecodeError, TraceError
from devices.kinds import KINDS, Component
from devices.measurement import Measurement, Sample

app = typer.Typer(help="Bluetooth health devices: decode what they send.", no_args_is_help=True)

_AS_JSON = typer.Option("--json", help="Print JSON (decode always does).")
_HEX_SEPARATORS = str.maketrans("", "", " :-\t")


@app.command("decode")
def decode_command(
    uuid: Annotated[str, typer.Argument(help="16 or 128 bits, or - for cases, one a line")],
    value: Annotated[str | None, typer.Argument(metavar="HEX", help="the bytes in hex")] = None,
    as_json: Annotated[bool, _AS_JSON] = False,
) -> None:
    """Decode one characteristic value; an error prints its reason and exits 2.

    With - each line of standard input is a case, 'UUID HEX' or {"uuid": …, "hex": …}, and is
    answered by a line, also where it is wrong.
    """
    if uuid == "-":
        print_answers(_answer_line(line) for line in cases())
        return
    answer = describe(uuid, value or "")
    print_answers([answer])
    if "error" in answer:
        raise typer.Exit(2)


@app.command("kinds")
def kinds_command(as_json: Annotated[bool, _AS_JSON] = False) -> None:
    """Show the catalogue of what can be measured."""
    if as_json:
        print_answers([{"kinds": [_kind_fields(name) for name in KINDS]}])
        return
    table = Table("kind", "component", "code", "LOINC", "unit", "plausible", "svenska")
    for kind in KINDS.values():
        for part in kind.components:
            low, high = part.plausible
            span = f"{low:g}–{high:g}"
            row = (kind.name, part.name, part.code, part.loinc or "–", part.unit, span, part.sv)
            table.add_row(*row)
    quietly(lambda: Console().print(table))


@app.command("trace")
def trace_command(
    files: Annotated[
        list[Path], typer.Argument(help="recorded with btmon -w FILE, or a phone's HCI log")
    ],
    device: Annotated[
        Path | None, typer.Option("--device", metavar="OUT.json", help="write a recorded device")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="which device, where there are several")
    ] = None,
    keep_values: Annotated[
        bool, typer.Option("--keep-values", help="keep what was measured, instead of inventing it")
    ] = False,
    as_json: Annotated[bool, _AS_JSON] = False,
) -> None:
    """Tell what recorded traces hold; with --device make a virtual device of them.

    Several files are several recordings of the same devices, oldest first.
    A recorded device holds no address, date or serial number. The trace itself holds those, and
    the keys of the pairing: give it to nobody you would not give the device to.
    """
    from devices.trace import recording, telling, text

    try:
        story = telling.tell(*(file.read_bytes() for file in files))
        made = None
        if device is not None:
            chosen = telling.only_device(story, address)
            made = recording.record(chosen, keep_values=keep_values)
            device.write_text(recording.encode(made))
    except (OSError, TraceError) as error:
        _fail(error, as_json=as_json)
    if as_json:
        print_answers([text.fields(story)])
        return
    quietly(lambda: _say(text.lines(story)))
    if made is not None:
        print(f"Written: {device}, {len(made.sessions)} sessions of {made.name or made.model}.")


def describe(uuid: str, hexadecimal: str) -> dict[str, object]:
    """Return the contract's JSON object for one value, or ``error`` and ``detail``."""
    try:
        raw = bytes.fromhex(hexadecimal.translate(_HEX_SEPARATORS))
    except ValueError as error:
        return {"error": "bad_hex", "detail": str(error)}
    try:
        characteristic = gatt.short_uuid(uuid)
        decoded = gatt.decode(uuid, raw)
    except DecodeError as error:
        return {"error": error.reason, "detail": error.detail}
    if isinstance(decoded, gatt.Fields):
        return {"characteristic": characteristic, "kind": None, "fields": dict(decoded.fields)}
    records = [_measurement_fields(measurement) for measurement in decoded.measurements]
    if len(records) == 1:
        return {"characteristic": characteristic, **records[0]}
    return {"characteristic": characteristic, "kind": records[0]["kind"], "records": records}


def _answer_line(line: str) -> dict[str, object]:
    if line.lstrip().startswith("{"):
        return _answer_object(line)
    uuid, *rest = line.split(maxsplit=1)
    return describe(uuid, "".join(rest).strip())


def _answer_object(line: str) -> dict[str, object]:
    """Answer a case given as ``{"uuid": …, "hex": …}``."""
    try:
        case = json.loads(line)
        return describe(case["uuid"].strip(), case["hex"])
    except (ValueError, KeyError, AttributeError, RecursionError) as error:
        return {"error": "bad_case", "detail": f"not an object with uuid and hex: {error!r}"[:200]}


def _measurement_fields(measurement: Measurement) -> dict[str, object]:
    time = measurement.device_time
    return {
        "kind": measurement.kind,
        "samples": [_sample_fields(measurement.kind, sample) for sample in measurement.samples],
        "flags": list(measurement.flags),
        "ctx": dict(measurement.context),
        "dev_t": None if time is None else time.isoformat(timespec="seconds"),
        "seq": measurement.sequence_number,
    }


def _sample_fields(kind: str, sample: Sample) -> dict[str, object]:
    component = KINDS[kind].component(sample.code)
    assert component is not None, "decoders take their codes from the catalogue"
    fields: dict[str, object] = {
        "code": sample.code,
        "name": component.name,
        "value": sample.value,
        "unit": sample.unit,
        "absent": sample.absent,
    }
    if sample.as_sent is not None:
        fields["as_sent"] = {"value": sample.as_sent.value, "unit": sample.as_sent.unit}
    return fields


def _kind_fields(name: str) -> dict[str, object]:
    kind = KINDS[name]
    return {
        "number": kind.number,
        "name": kind.name,
        "sv": kind.sv,
        "en": kind.en,
        "fi": kind.fi,
        "components": [_component_fields(component) for component in kind.components],
    }


def _component_fields(component: Component) -> dict[str, object]:
    return {
        "number": component.number,
        "name": component.name,
        "code": component.code,
        "loinc": component.loinc,
        "unit": component.unit,
        "decimals": component.decimals,
        "plausible": list(component.plausible),
        "plausible_why": component.plausible_why,
        "ordinals": list(component.ordinals),
        "sv": component.sv,
        "en": component.en,
        "fi": component.fi,
    }


def _fail(error: OSError | TraceError, *, as_json: bool) -> NoReturn:
    if as_json:
        reason = error.reason if isinstance(error, TraceError) else "unreadable"
        detail = error.detail if isinstance(error, TraceError) else str(error)
        print_answers([{"error": reason, "detail": detail}])
    else:
        print(f"Cannot be read: {error}", file=sys.stderr)
    raise typer.Exit(2)


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)
