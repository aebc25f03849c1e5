"""Words evidence and reasons for people, a sentence each: the only functions that do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import groupby

from strata_labels.evidence import REASONS, Alternative, Evidence, Reason

_LANGUAGES = {
    "ar": "Arabic", "be": "Belarusian", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan",
    "cs": "Czech", "cy": "Welsh", "da": "Danish", "de": "German", "el": "Greek", "en": "English",
    "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish",
    "fr": "French", "ga": "Irish", "gl": "Galician", "he": "Hebrew", "hi": "Hindi",
    "hr": "Croatian", "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian", "is": "Icelandic",
    "it": "Italian", "ja": "Japanese", "ka": "Georgian", "ko": "Korean", "la": "Latin",
    "lt": "Lithuanian", "lv": "Latvian", "mk": "Macedonian", "ms": "Malay", "nb": "Norwegian",
    "nl": "Dutch", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
    "sk": "Slovak", "sl": "Slovenian", "sq": "Albanian", "sr": "Serbian", "sv": "Swedish",
    "ta": "Tamil", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu",
    "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip

_DECIDED = {
    "keep": "kept it under {}", "move": "moved it to {}", "merge": "merged it into {}",
    "stop": "stopped it at {}", "exclude": "excluded it", "split": "split off {}",
    "create": "created {}", "rename": "renamed it {}", "describe": "described it as {}",
    "unsure": "was unsure", "same": "said that it is {} now",
}  # fmt: skip

#: Kinds that speak for their node, so that they speak against any other place.
_FOR_ITS_NODE = {
    "name_word", "text", "image_to_text", "image", "class_chain", "class_tie", "neighbours",
}  # fmt: skip
#: Kinds whose adjacent pieces share one sentence.
_ONE_SENTENCE = {"text", "image_to_text", "taxonomy"}
_ARROW = " › "


def evidence_text(
    evidence: Iterable[Evidence],
    names: Mapping[str, str],
    place: Collection[str] = (),
    with_images: bool = False,
) -> list[str]:
    """Evidence for people, a sentence for each piece.

    Args:
        evidence: of a row, or of an alternative.
        names: name of each node id, and of items; an id that is not in it is shown as it is.
        place: node ids of the place it is shown with, from the parent to the top; what speaks for
            another node comes last and begins with "But".
        with_images: name the image files.

    Example:
        >>> pieces = [Evidence("name_word", "2/rock", text="-stein", language="de"),
        ...           Evidence("text", "2/palace", 1.77), Evidence("text", "2/gate", 1.4)]
        >>> evidence_text(pieces, {"2/rock": "rock", "2/palace": "palace"}, ["2/palace"])
        ['By its meaning the name is nearest to palace, then 2/gate.', \
'But “-stein” at the end of the name (German) means rock.']
    """
    support: list[str] = []
    against: list[str] = []
    for run in _runs(evidence):
        first = run[0]
        sentence = _WORDING[first.kind](run, lambda node: names.get(node, node))
        if with_images and first.kind == "retrieval" and first.ids:
            sentence += f" Images: {', '.join(first.ids)}."
        elsewhere = place and first.kind in _FOR_ITS_NODE and first.node not in ("", *place)
        (against if elsewhere else support).append(sentence)
    return support + [f"But {_inner(sentence)}" for sentence in against]


def reason_text(reasons: Iterable[Reason], names: Mapping[str, str]) -> list[str]:
    """A sentence for each reason; the name of the node it is about stands behind it."""
    return [
        f"{REASONS[reason.kind].rstrip('.')}: {names[reason.node]}."
        if reason.node in names
        else REASONS[reason.kind]
        for reason in reasons
    ]


def label_issue_text(
    reasons: Iterable[Reason],
    suggestion: str,
    alternatives: Iterable[Alternative],
    names: Mapping[str, str],
) -> list[str]:
    """For a row that questions a given label, what was published and what the evidence says.

    Args:
        reasons: of the row.
        suggestion: the node that the evidence speaks for.
        alternatives: of the row; those of the suggestion say why.
        names: name of each node id, and of items; names that two nodes share should tell them
            apart.

    Example:
        >>> similar = Evidence("neighbours", "1/lake", 0.8, ids=("t/7",))
        >>> label_issue_text([Reason("label_issue", "1/church")], "1/lake",
        ...     [Alternative("1/lake", 0.9, (similar,))], {"1/lake": "lake", "1/church": "church"})
        ['Published: church; the evidence says lake, because the similar item t/7 is labelled \
lake, similarity 0.80.']
    """
    given = next((reason.node for reason in reasons if reason.kind == "label_issue"), "")
    if not given or suggestion in ("", given):
        return []
    text = f"Published: {names.get(given, given)}; the evidence says "
    text += names.get(suggestion, suggestion)
    own = next((other for other in alternatives if other.node == suggestion), None)
    if own and own.evidence:
        why = " and ".join(_inner(one).rstrip(".") for one in evidence_text(own.evidence, names))
        return [f"{text}, because {why}."]
    if own and own.confidence is not None:
        return [f"{text}, which is {own.confidence:.0%} likely without that label."]
    return [f"{text}."]


def _runs(evidence: Iterable[Evidence]) -> Iterator[list[Evidence]]:
    """Pieces in their order, grouped by the sentence that is made of them."""
    for kind, run in groupby(evidence, lambda piece: piece.kind):
        pieces = list(run)
        yield from [pieces] if kind in _ONE_SENTENCE else ([piece] for piece in pieces)


def _inner(sentence: str) -> str:
    return sentence if sentence.startswith("Wikidata") else sentence[:1].lower() + sentence[1:]


_Names = Callable[[str], str]


def _name_word(run: list[Evidence], name: _Names) -> str:
    word = run[0]
    where = " at the end of the name" if word.text.startswith("-") else ""
    where = " at the start of the name" if word.text.endswith("-") else where
    language = _LANGUAGES.get(word.language, word.language)
    return f"“{word.text}”{where} ({language}) means {name(word.node)}."


def _nearest(run: list[Evidence], name: _Names) -> str:
    start = "By its meaning the name is" if run[0].kind == "text" else "The images are"
    first, *others = (name(piece.node) for piece in run)
    if not others:
        return f"{start} close to {first}."
    return f"{start} nearest to {first}, then {', '.join(others)}."


def _class(run: list[Evidence], name: _Names) -> str:
    found = run[0]
    label = f"{found.text} ({found.ids[0]})" if found.text else found.ids[0]
    if found.kind == "class_tie":
        return f"One of its Wikidata classes, {label}, belongs to {name(found.node)}."
    return f"Wikidata calls it {label}, which belongs to {name(found.node)}."


def _neighbours(run: list[Evidence], name: _Names) -> str:
    found = run[0]
    if found.ids:
        like = f", similarity {found.value:.2f}" if found.value is not None else ""
        return f"The similar item {name(found.ids[0])} is labelled {name(found.node)}{like}."
    if found.value is None:
        return f"Items with similar names are mostly {name(found.node)}."
    return f"{found.value:.0%} of the most similar items are under {name(found.node)}."


def _label_count(run: list[Evidence], name: _Names) -> str:
    found = run[0]
    items = f"{found.value:,.0f} item{'s' if found.value != 1 else ''}"
    example = f", such as {found.text}" if found.text else ""
    return f"The label {_ARROW.join(map(name, found.ids))} came with {items}{example}."


def _vocabulary(run: list[Evidence], name: _Names) -> str:
    found = run[0]
    classes = f"class {found.text or found.ids[0]} ({found.ids[0]})" if found.ids else "it"
    return f"The vocabulary places {classes} under {name(found.node)}."


def _taxonomy(run: list[Evidence], name: _Names) -> str:
    ranks = groupby(run, lambda piece: piece.value)
    path = [" or ".join(piece.text for piece in rank) for _, rank in ranks]
    return f"Wikidata: {_ARROW.join(path)}."


def _cluster(run: list[Evidence], name: _Names) -> str:
    found = run[0]
    example = f"; the most typical is {found.text}" if found.text else ""
    image = f" ({found.ids[0]})" if found.ids else ""
    return f"{found.value:,.0f} items were found to be similar{example}{image}."


def _decision(run: list[Evidence], name: _Names) -> str:
    found = run[0]
    word, time, *written = found.ids
    target = name(found.node) if found.node else "".join(written)
    what = _DECIDED[word].format(target).removesuffix(" under ")
    stale = "; the evidence has changed since" if found.kind == "stale_decision" else ""
    return f"{found.text} {what} on {time[:10]}{stale}."


_WORDING: dict[str, Callable[[list[Evidence], _Names], str]] = {
    "name_word": _name_word,
    "text": _nearest,
    "image_to_text": _nearest,
    "image_name": lambda run, _: f"The images fit the name “{run[0].text}” ({run[0].value:.0%}).",
    "image": lambda run, name: (
        f"In {run[0].value:.0%} of the resamplings its images are grouped with {name(run[0].node)}."
    ),
    "class_chain": _class,
    "class_tie": _class,
    "neighbours": _neighbours,
    "label_count": _label_count,
    "published": lambda run, name: f"Published under {_ARROW.join(map(name, run[0].ids))}.",
    "vocabulary": _vocabulary,
    "taxonomy": _taxonomy,
    "members": lambda run, _: f"This holds for {run[0].value:.0f} items, such as {run[0].text}.",
    "category": lambda run, name: (
        f"Item {run[0].ids[0]} has the same category and is under {name(run[0].node)}."
    ),
    "cluster": _cluster,
    "purity": lambda run, name: (
        f"By estimate, {run[0].value:.0%} of the items in {name(run[0].node)} have the label "
        f"{run[0].text}."
    ),
    "retrieval": lambda run, name: (
        f"{run[0].value:.0%} of its nearest images are under {name(run[0].node)}."
    ),
    "hap_gain": lambda run, name: (
        f"Under {name(run[0].node)}, searches with its images would find more of the same kind: "
        f"their hierarchical average precision (H-AP) would rise by {run[0].value:.1f} points."
    ),
    "lost_node": lambda run, _: f"{run[0].value:,.0f} decisions wait for the node it is now.",
    "decision": _decision,
    "stale_decision": _decision,
}
