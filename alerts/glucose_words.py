"""A glucose summary in sentences, in Swedish and English. Nothing here decides anything."""

from __future__ import annotations

from alerts.glucose import SensorSummary, Shares
from alerts.wording import Language, number


def words(summary: SensorSummary, language: Language) -> tuple[str, ...]:
    """Say what the period shows, a sentence each; the first says what the text is for."""
    say = _SENTENCES[language]
    sentences = [
        say["purpose"],
        say["wear"].format(
            readings=summary.readings,
            expected=summary.expected,
            wear=number(100 * summary.wear, 0, language),
            days_with=summary.days_with_readings,
            days=number(summary.days, 0, language),
        ),
    ]
    if not summary.is_enough:
        sentences.append(say["too_little"])
    if summary.shares is not None:
        sentences.append(say["shares"].format(**_percentages(summary.shares, language)))
    if summary.mean_mmol_per_l is not None:
        sentences.append(say["mean"].format(mean=number(summary.mean_mmol_per_l, 1, language)))
    if summary.cv_percent is not None and summary.sd_mmol_per_l is not None:
        spread = number(summary.sd_mmol_per_l, 1, language)
        sentences.append(say["cv"].format(cv=number(summary.cv_percent, 0, language), sd=spread))
    if summary.gmi_percent is not None and summary.gmi_mmol_per_mol is not None:
        ifcc, ngsp = number(summary.gmi_mmol_per_mol, 0, language), summary.gmi_percent
        sentences.append(say["gmi"].format(ifcc=ifcc, ngsp=number(ngsp, 1, language)))
    if summary.beyond_low or summary.beyond_high:
        counts = {"low": summary.beyond_low, "high": summary.beyond_high}
        sentences.append(say["beyond"].format(**counts))
    return tuple(sentences)


def _percentages(shares: Shares, language: Language) -> dict[str, str]:
    return {
        "in_range": number(100 * shares.in_range, 0, language),
        "below": number(100 * shares.below_39, 1, language),
        "very_low": number(100 * shares.below_30, 1, language),
        "above": number(100 * shares.above_100, 0, language),
        "very_high": number(100 * shares.above_139, 1, language),
    }


_SENTENCES = {
    Language.SV: {
        "purpose": "Underlag för samtal och för läkare, inget larm och ingen diagnos.",
        "wear": "{readings} av {expected} väntade sensorvärden ({wear} %), "
        "på {days_with} av {days} dygn.",
        "too_little": "För litet underlag: 14 dygn med minst 70 % av värdena behövs. "
        "Läs siffrorna med försiktighet.",
        "shares": "I målområdet 3,9–10,0 mmol/L: {in_range} %. Under 3,9: {below} %, varav under "
        "3,0: {very_low} %. Över 10,0: {above} %, varav över 13,9: {very_high} %.",
        "mean": "Medelglukos {mean} mmol/L.",
        "cv": "Variation (CV) {cv} %, standardavvikelse {sd} mmol/L.",
        "gmi": "GMI {ifcc} mmol/mol ({ngsp} %), räknat ur sensorns medelglukos. "
        "Det är inte ett HbA1c-prov.",
        "beyond": "Utan siffra: {low} under sensorns mätområde (LO), {high} över (HI). De räknas "
        "som under 3,0 och över 13,9 men ingår inte i medelvärdet.",
    },
    Language.EN: {
        "purpose": "Basis for conversation and for a physician, no alert and no diagnosis.",
        "wear": "{readings} of {expected} expected sensor readings ({wear} %), "
        "on {days_with} of {days} days.",
        "too_little": "Too little to go by: 14 days with at least 70 % of the readings are needed. "
        "Read the figures with care.",
        "shares": "In range 3.9–10.0 mmol/L: {in_range} %. Below 3.9: {below} %, of which below "
        "3.0: {very_low} %. Above 10.0: {above} %, of which above 13.9: {very_high} %.",
        "mean": "Mean glucose {mean} mmol/L.",
        "cv": "Variation (CV) {cv} %, standard deviation {sd} mmol/L.",
        "gmi": "GMI {ifcc} mmol/mol ({ngsp} %), from the sensor's mean glucose. "
        "It is not an HbA1c test.",
        "beyond": "Without a number: {low} below the sensor's range (LO), {high} above (HI). They "
        "count as below 3.0 and above 13.9 but are not part of the mean.",
    },
}
