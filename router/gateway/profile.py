"""A request in numbers and enums: what the decision may know of it, and what the ledger keeps."""

from collections.abc import Sequence

from router.catalog.catalog import Capability, Effort, ModelName
from router.decision.data_rules import NO_DATA_RULES, DataRules
from router.decision.facts import NO_TIGHTENING, RequestProfile, Tightening
from router.keys import TeamName
from router.quality.features import SystemCues, features_of, question_of
from router.quality.signals import NO_SIGNALS
from router.quality.text_head import TextHead
from router.tokens.count import TokenCount
from router.wire.controls import NO_CONTROLS, Controls
from router.wire.requests import NO_DATA_PREFERENCES, DataPreferences, ModelRequest, is_given

_PART_NEEDS = {
    "image_url": Capability.IMAGE_INPUT,
    "input_audio": Capability.AUDIO_INPUT,
    "video_url": Capability.VIDEO_INPUT,
    "input_video": Capability.VIDEO_INPUT,
    "file": Capability.FILE_INPUT,
}
_OUTPUT_NEEDS = {"image": Capability.IMAGE_OUTPUT, "audio": Capability.AUDIO_OUTPUT}
_FORMAT_NEEDS = {"json_object": Capability.JSON_OBJECT, "json_schema": Capability.JSON_SCHEMA}
_EFFORTS = {effort.value: effort for effort in Effort}
_BOUNDED_PARTS = frozenset({"text", "refusal", "image_url"})


def profile_of(
    request: ModelRequest,
    count: TokenCount,
    controls: Controls,
    *,
    team: TeamName,
    system: SystemCues | None = None,
    head: TextHead | None = None,
) -> RequestProfile:
    """The profile of a request whose tokens have been counted.

    `system` remembers what system messages say; `head`, where there is one, says what the question's words tell.
    """
    kinds = _part_kinds(request)
    longest_tokens = count.longest_tokens or count.input_tokens  # of several prompts, each is read by itself
    question = question_of(request.messages)
    features = features_of(
        request, input_tokens=longest_tokens, system=system, opening=count.opening, question=question
    )
    return RequestProfile(
        alias=request.model,
        input_tokens=count.input_tokens,
        input_bytes=request.body_bytes,
        images=count.images,
        max_output_tokens=request.max_output_tokens,
        choices=request.choices,
        needs=_needs(request, kinds),
        task=features.task,
        has_unbounded_parts=_has_unbounded_parts(request, kinds),
        asks_one_hour_cache=request.asks_one_hour_cache,
        is_stream=request.is_stream,
        tags=controls.tags,
        team=team,
        effort=_EFFORTS.get(request.reasoning_effort or ""),
        language=features.language,
        difficulty=features.difficulty,
        asks_cache=request.asks_cache,
        prefix=count.prefix,
        cache_breakpoints=count.breakpoints,
        apis=request.apis,
        prompts=count.prompts,
        longest_prompt_tokens=count.longest_tokens,
        id_tokens=count.id_tokens,
        echoes_prompt=request.echoes_prompt,
        signals=NO_SIGNALS if head is None or not request.messages else head.signals(question.text, question.plain),
    )


def tightening_of(
    controls: Controls, preferences: DataPreferences, only_models: frozenset[ModelName] | None = None
) -> Tightening:
    """What a request asks beyond its team's policy: by our headers, and for its data by OpenRouter's `provider`.

    `only_models` are those that its API key may be answered by; None: any.
    """
    if controls is NO_CONTROLS and preferences is NO_DATA_PREFERENCES and only_models is None:
        return NO_TIGHTENING
    return Tightening(
        max_cost_usd=controls.max_cost_usd,
        min_quality=controls.min_quality,
        max_latency_ms=controls.max_latency_ms,
        max_effort=None if controls.max_effort is None else Effort(controls.max_effort),
        data=_data_rules(preferences),
        only_models=only_models,
    )


def _data_rules(preferences: DataPreferences) -> DataRules:
    if preferences is NO_DATA_PREFERENCES:
        return NO_DATA_RULES
    return DataRules(
        zdr=bool(preferences.zdr),
        deny_collection=preferences.data_collection == "deny",
        only=_slugs(preferences.only) or None,  # an empty list is no list at OpenRouter
        ignore=_slugs(preferences.ignore),
    )


def _slugs(names: Sequence[str] | None) -> frozenset[str]:
    return frozenset(name.lower() for name in names or ())


def _part_kinds(request: ModelRequest) -> set[str]:
    kinds: set[str] = set()
    for message in request.messages:
        if isinstance(message.content, list):
            kinds.update([part.type for part in message.content])
    return kinds


def _has_unbounded_parts(request: ModelRequest, kinds: set[str]) -> bool:
    """Whether something is as long as only the provider knows: a file, or a recording that is there already."""
    if not kinds <= _BOUNDED_PARTS:
        return True
    for message in request.messages:
        if is_given(message.audio) or (message.images and not {part.type for part in message.images} <= _BOUNDED_PARTS):
            return True
    return "image_url" in kinds and any(
        part.type == "image_url" and part.image_url is None  # another API's part of that name: nobody has counted it
        for message in request.messages
        if isinstance(message.content, list)
        for part in message.content
    )


def _needs(request: ModelRequest, kinds: set[str]) -> frozenset[Capability]:
    needs = {_PART_NEEDS[kind] for kind in kinds if kind in _PART_NEEDS}
    needs.update(_OUTPUT_NEEDS[each] for each in request.output_modalities if each in _OUTPUT_NEEDS)
    if request.tools or request.functions is not None:
        needs.add(Capability.TOOLS)
    if request.response_format is not None and request.response_format.type in _FORMAT_NEEDS:
        needs.add(_FORMAT_NEEDS[request.response_format.type])
    if request.asks_reasoning:
        needs.add(Capability.REASONING)
    return frozenset(needs)
