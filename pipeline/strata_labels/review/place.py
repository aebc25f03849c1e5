"""Where nodes stand after the decisions on nodes."""

from __future__ import annotations

from strata_labels.review.decision import Decision
from strata_labels.review.known import KnownNodes, fold


def merged_ends(place: dict[str, Decision]) -> dict[str, str]:
    """Where each merged node ends; circles have been refused."""
    step = {node: d.target for node, d in place.items() if d.decision == "merge"}
    ends = {}
    for node in step:
        end = step[node]
        while end in step:
            end = step[end]
        ends[node] = end
    return ends


class Placer:
    """Puts nodes where the decisions say, from the top level down."""

    def __init__(
        self,
        known: KnownNodes,
        place: dict[str, Decision],
        merged: dict[str, str],
        made: dict[str, Decision],
    ) -> None:
        self._known, self._place, self._merged, self._made = known, place, merged, made
        self._found: dict[tuple[str, int], str] = {}

    def place_nodes(self) -> None:
        """Sets the parents that were decided, and follows merges."""
        known = self._known
        for level in range(known.top - 1, 0, -1):
            for node in [node for node, own in known.level.items() if own == level]:
                decision = self._place.get(node)
                if decision is None and node in self._made:
                    decision = self._place.get(self._made[node].subject)  # it goes along
                target = known.parent[node]
                if decision and decision.decision in {"keep", "move"}:
                    target = self.main_child(decision.target, level + 1)
                known.parent[node] = self._merged.get(target, target)

    def main_child(self, target: str, level: int) -> str:
        """The node of `level` that stands for `target`, which is at that level or above.

        Levels from `level` up have their parents by now, so what is found once stays right.
        """
        key = target, level
        if key not in self._found:
            target = self._merged.get(target, target)
            while self._known.level[target] > level:
                target = self._child(target)
            self._found[key] = target
        return self._found[key]

    def _child(self, target: str) -> str:
        known, below = self._known, self._known.level[target] - 1
        children = [
            node
            for node, level in known.level.items()
            if level == below and known.parent[node] == target
            if node not in self._merged and not self._left_out(node)
        ]
        same_qid = [n for n in children if known.qid[n] and known.qid[n] == known.qid[target]]
        same_name = [n for n in children if fold(known.name[n]) == fold(known.name[target])]
        if same_qid or same_name:
            return min(same_qid or same_name)
        made = f"{below}/{target.split('/', 1)[-1]}.general"
        known.level[made], known.name[made] = below, known.name[target]
        known.parent[made], known.qid[made] = target, ""
        return made

    def _left_out(self, node: str) -> bool:
        decision = self._place.get(node)
        return decision is not None and decision.decision in {"stop", "exclude"}


def hanging(
    known: KnownNodes, place: dict[str, Decision], merged: dict[str, str]
) -> dict[str, str]:
    """For each node, where something that hangs on it finally hangs; "" if it is excluded."""
    ends = {}
    for node in known.level:
        end = step = merged.get(node, node)
        while step:
            decision = place.get(step)
            word = decision.decision if decision else ""
            if word == "exclude":
                end = ""
                break
            if decision and word == "stop":
                end = step = merged.get(decision.target, decision.target)
            else:
                step = known.parent[step]
        ends[node] = end
    return ends
