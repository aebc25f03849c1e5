"""Why a row is asked, in plain words: on the page and in the sheet."""

from __future__ import annotations

from collections.abc import Iterable

REASONS = {
    "audit": "It was accepted without asking; this is a check whether that was right.",
    "retrieval": "Its pictures look like another place's: move it there, or keep it.",
    "low_confidence": "The evidence is too weak to place it without you.",
    "small_margin": "Two places are about equally likely.",
    "evidence_disagrees": "Name, class and likeness point to different places.",
    "class_tie": "Its Wikidata classes lead to several places.",
    "several_classes": "Wikidata gives it several classes.",
    "no_name_word": "No word of its name says what it is.",
    "no_evidence": "Nothing is known about it but its name.",
    "no_place": "What Wikidata calls it has no place in this tree.",
    "neighbours_elsewhere": "What resembles it most stands elsewhere.",
    "unstable": "With a part of the decisions left out it would be placed elsewhere.",
    "name_it": "This group was found among the pictures and has no name yet.",
    "same_category_differs": "Items of the same Commons category are placed differently.",
    "splits_differ": "The same place is filed elsewhere in another split.",
    "stale_decision": "It was decided before, but the evidence has changed since.",
    "unsure": "A reviewer was unsure about it.",
    "disputed": "Two reviewers disagree about it.",
}


def reasons_told(words: Iterable[str]) -> list[str]:
    """A sentence for each reason; one that is not known here is told as it is written."""
    return [REASONS.get(word, word.replace("_", " ").capitalize() + ".") for word in words if word]
