"""The SQL that both stores share, so that they cannot differ; `?` stands for a value, as SQLite writes it."""

ENTRY_COLUMNS = (
    "request_id",
    "at",
    "day",
    "team",
    "key_id",
    "alias",
    "policy",
    "rule",
    "outcome",
    "profile",
    "rejected",
    "counted_input_tokens",
    "expected_nano_usd",
    "cost_nano_usd",
    "baseline",
    "baseline_nano_usd",
    "config_version",
    "is_stream",
    "overhead_s",
    "first_token_s",
    "duration_s",
    "tags",
    "conditions",
    "held_at",
)
ATTEMPT_COLUMNS = (
    "entry_id",
    "number",
    "model",
    "provider",
    "outcome",
    "served_model",
    "generation_id",
    "input_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "held_nano_usd",
    "cost_nano_usd",
    "source",
    "duration_s",
    "first_token_s",
    "finish_reason",
    "version",
    "verification",
    "held_at",
    "effort",
)
_DIGESTS = ("digest", "scoped_digest")


def _values(columns: tuple[str, ...], count: int = 1) -> str:
    """Of so many rows."""
    row = f"({', '.join('?' * len(columns))})"
    return f"({', '.join(columns)}) VALUES {', '.join([row] * count)}"


# PostgreSQL's. Returns the row's own id, or nothing if the entry is kept already.
INSERT_ENTRY = f"INSERT INTO entries {_values(ENTRY_COLUMNS)} ON CONFLICT (request_id) DO NOTHING RETURNING id"
# SQLite's: whoever writes knows the numbers that are free. By how many rows they insert, the most first.
ROWS_AT_ONCE = (128, 32, 8, 1)
INSERT_NUMBERED_ENTRIES = {
    count: f"INSERT INTO entries {_values(('id', *ENTRY_COLUMNS), count)} ON CONFLICT (request_id) DO NOTHING"
    for count in ROWS_AT_ONCE
}
INSERT_ATTEMPTS = {count: f"INSERT INTO attempts {_values(ATTEMPT_COLUMNS, count)}" for count in ROWS_AT_ONCE}
INSERT_ATTEMPT = INSERT_ATTEMPTS[1]
LAST_ENTRY = "SELECT COALESCE(MAX(id), 0) FROM entries"
ENTRIES_AFTER = "SELECT id FROM entries WHERE id > ?"

SPENT_SINCE = (
    "SELECT team, key_id, tags, SUM(cost_nano_usd) FROM entries WHERE held_at >= ? GROUP BY team, key_id, tags"
)

LATEST = """
    SELECT e.request_id, e.at, e.team, e.alias, e.policy, e.rule, e.outcome, e.cost_nano_usd, e.baseline_nano_usd,
           e.duration_s, a.model, a.provider, a.served_model, a.version, a.input_tokens, a.output_tokens, a.source
    FROM entries AS e LEFT JOIN attempts AS a ON a.entry_id = e.id
         AND a.number = (SELECT number FROM attempts WHERE entry_id = e.id
                         ORDER BY outcome IN ('ok', 'failed_verification') DESC, number DESC LIMIT 1)
    ORDER BY e.at DESC, e.id DESC LIMIT ?
"""

_ENTRY = ", ".join(f"e.{name}" for name in ENTRY_COLUMNS if name not in ("day", "cost_nano_usd", "held_at"))
_ATTEMPT = ", ".join(f"a.{name}" for name in ATTEMPT_COLUMNS if name != "entry_id")
# An entry with each of its calls, as rows.py reads it. `%s` is a selection from entries.
_WHOLE = (
    f"SELECT e.id, {_ENTRY}, {_ATTEMPT} FROM (%s) AS e LEFT JOIN attempts AS a ON a.entry_id = e.id "  # noqa: S608
    "ORDER BY e.at, e.id, a.number"
)
FIND = _WHOLE % "SELECT * FROM entries WHERE request_id = ?"

# An index of these calls alone serves this one: its condition must be written the same in schema.py.
_DOUBTFUL = """
    SELECT e.request_id, a.number, e.at, COALESCE(a.held_at, e.at), e.team, e.key_id, e.tags, a.model, a.provider,
           a.generation_id, a.held_nano_usd
    FROM attempts AS a JOIN entries AS e ON e.id = a.entry_id
    WHERE a.source = 'held' AND a.generation_id > '' AND e.at >= ? AND e.at < ? %s
    ORDER BY e.at, e.request_id, a.number LIMIT ?
"""
# Takes request ids; `%s` is replaced by as many placeholders.
BOOKED = """
    SELECT e.request_id, a.number FROM entries AS e JOIN attempts AS a ON a.entry_id = e.id
    WHERE e.request_id IN (%s)
"""
RECORDED = """
    SELECT e.request_id, a.number, a.cost_nano_usd FROM entries AS e JOIN attempts AS a ON a.entry_id = e.id
    WHERE a.source = 'record' AND e.request_id IN (%s)
"""
FIND_ENTRY = "SELECT id FROM entries WHERE request_id = ?"
AMEND_ATTEMPT = """
    UPDATE attempts SET input_tokens = ?, cached_tokens = ?, cache_write_tokens = ?, output_tokens = ?,
                        reasoning_tokens = ?, cost_nano_usd = ?, source = 'record'
    WHERE source = 'held' AND number = ? AND entry_id = (SELECT id FROM entries WHERE request_id = ?)
"""
AMEND_ENTRY = """
    UPDATE entries SET cost_nano_usd = (SELECT SUM(cost_nano_usd) FROM attempts WHERE entry_id = entries.id)
    WHERE request_id = ?
"""

LEARNED = "SELECT content FROM learned WHERE name = ?"
KEEP_LEARNED = """
    INSERT INTO learned (name, content, at) VALUES (?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET content = excluded.content, at = excluded.at
"""
FIRST_LEARNED = "INSERT INTO learned (name, content, at) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING"
SWAP_LEARNED = "UPDATE learned SET content = ?, at = ? WHERE name = ? AND content = ?"

# An answer under a client's own key. Until it is there, its row is the claim of the request that will give it.
DROP_EXPIRED_ANSWERS = "DELETE FROM answers WHERE expires_at <= ?"
CLAIM_ANSWER = """
    INSERT INTO answers (team, key_digest, fingerprint, request_id, expires_at) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (team, key_digest) DO NOTHING
"""
FIND_ANSWER = "SELECT fingerprint, request_id, content FROM answers WHERE team = ? AND key_digest = ?"
KEEP_ANSWER = "UPDATE answers SET content = ?, expires_at = ? WHERE team = ? AND key_digest = ? AND request_id = ?"
GIVE_UP_CLAIM = "DELETE FROM answers WHERE team = ? AND key_digest = ? AND request_id = ? AND content IS NULL"
GIVE_UP_CLAIMS = "DELETE FROM answers WHERE content IS NULL"

KEEP_PROMPT = """
    INSERT INTO prompts (request_id, team, at, expires_at, key_id, content) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (request_id) DO NOTHING
"""
FIND_PROMPT = "SELECT request_id, team, at, expires_at, key_id, content FROM prompts WHERE request_id = ?"
DROP_EXPIRED_PROMPTS = "DELETE FROM prompts WHERE expires_at <= ?"
DROP_PROMPTS = "DELETE FROM prompts WHERE team = ? AND at < ?"

# A label whose score is the one that is kept stays as it is; another takes its place, under a number of its own, so
# that whoever has read up to the last number hears of it.
REPLACE_LABEL = "DELETE FROM labels WHERE request_id = ? AND call = ? AND signal = ? AND score <> ?"
_LABEL_COLUMNS = ("request_id", "call", "signal", "team", "at", "score", "content")
# SQLite's, of so many labels, none of them twice.
REPLACE_LABELS = {
    count: f"""
        DELETE FROM labels WHERE number IN (
            SELECT kept.number FROM (VALUES {", ".join(["(?, ?, ?, ?)"] * count)}) AS new
            JOIN labels AS kept ON kept.request_id = new.column1 AND kept.call = new.column2
                                AND kept.signal = new.column3
            WHERE kept.score <> new.column4)
    """  # noqa: S608 - constants only
    for count in ROWS_AT_ONCE
}
KEEP_LABELS = {
    count: f"INSERT INTO labels {_values(_LABEL_COLUMNS, count)} ON CONFLICT (request_id, call, signal) DO NOTHING"
    for count in ROWS_AT_ONCE
}
KEEP_LABEL = KEEP_LABELS[1]
LABELS_AFTER = "SELECT number, content FROM labels WHERE number > ? ORDER BY number LIMIT ?"
LAST_LABELS = "SELECT number, content FROM labels WHERE team = ? ORDER BY number DESC LIMIT ?"
DROP_LABELS = "DELETE FROM labels WHERE at < ?"
TAKE_LEASE = """
    INSERT INTO leases (name, holder, until) VALUES (?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
    WHERE leases.until <= ? OR leases.holder = excluded.holder
"""

# A price is never edited: of a row that is there already only the last sight moves on.
KEEP_PRICE = """
    INSERT INTO prices (provider, upstream_model, starts, version, tariff, source, first_seen, last_seen)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (provider, upstream_model, starts) DO UPDATE SET last_seen = excluded.last_seen
    WHERE excluded.last_seen > prices.last_seen
"""
PRICES_SINCE = """
    SELECT provider, upstream_model, starts, version, tariff, source, first_seen, last_seen FROM prices
    WHERE last_seen >= ? ORDER BY provider, upstream_model, starts
"""

# The digest of a key with a scope stands in a column that programs from before there were scopes do not know: to them
# the key is none, rather than one without bounds.
ADD_KEY = f"INSERT INTO keys {_values(('id', 'team', 'name', 'created_at', 'expires_at', 'scope', *_DIGESTS))}"
ALL_KEYS = f"""
    SELECT id, team, name, created_at, expires_at, revoked_at, scope, former_digest, former_until, {", ".join(_DIGESTS)}
    FROM keys ORDER BY created_at, id
"""  # noqa: S608 - constants only
REVOKE_KEY = "UPDATE keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL"
EXPIRE_KEY = """
    UPDATE keys SET expires_at = ? WHERE id = ? AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)
"""
ROTATE_KEY = """
    UPDATE keys SET former_digest = ?, former_until = ?, digest = ?, scoped_digest = ?
    WHERE id = ? AND digest = ? AND scoped_digest = ? AND revoked_at IS NULL
"""
KEYS_CHANGED = "UPDATE key_changes SET number = number + 1"
# Programs from before do not count their changes, but the only two they make are seen by the rest.
KEYS_VERSION = "SELECT (SELECT number FROM key_changes), COUNT(*), COUNT(revoked_at), COUNT(expires_at) FROM keys"

_AUDIT_COLUMNS = "number, at, actor, act, subject, detail, origin, mac"
AUDIT_HEAD = "SELECT number, mac FROM audit ORDER BY number DESC LIMIT 1"
LAST_OF_ACT = "SELECT actor, subject, detail FROM audit WHERE act = ? ORDER BY number DESC LIMIT 1"
APPEND_AUDIT = f"INSERT INTO audit ({_AUDIT_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_AUDIT = f"SELECT {_AUDIT_COLUMNS} FROM audit"  # noqa: S608 - constants, here and above
AUDIT_AFTER = _AUDIT + " WHERE number > ? ORDER BY number LIMIT ?"
AUDIT_BEFORE = _AUDIT + " WHERE number < ? AND at >= ? ORDER BY number DESC LIMIT ?"
AUDIT_OF_ACT = _AUDIT + " WHERE act = ? AND at >= ? ORDER BY number"

# What `spend` groups by. An entry without calls has no model, provider or source, and one without tags no tag.
_GROUPS = {
    "team": "e.team",
    "key": "e.key_id",
    "alias": "e.alias",
    "policy": "e.policy",
    "model": "COALESCE(a.model, '')",
    "provider": "COALESCE(a.provider, '')",
    "source": "COALESCE(a.source, '')",
    "outcome": "e.outcome",
    "day": "e.day",
    "tag": "COALESCE(t.value, '')",
}


def count(*, has_team: bool) -> str:
    """Takes since, until and the team."""
    return f"SELECT COUNT(*) FROM entries WHERE {_period(has_team)}"  # noqa: S608 - constants only


def page(*, has_team: bool) -> str:
    """Takes since, until and the team; then the place behind which to begin, and how many."""
    period = _period(has_team)
    some = f"SELECT * FROM entries WHERE {period} AND (at, id) > (?, ?) ORDER BY at, id LIMIT ?"  # noqa: S608
    return _WHOLE % some


def _period(has_team: bool) -> str:
    return f"at >= ? AND at < ? {'AND team = ?' if has_team else ''}"


def doubtful(*, has_after: bool) -> str:
    """Takes since and before; then the moment, request and number of the call behind which to begin; and how many."""
    return _DOUBTFUL % ("AND (e.at, e.request_id, a.number) > (?, ?, ?)" if has_after else "")


def booked(request_ids: int) -> str:
    """The calls of so many requests."""
    return BOOKED % ", ".join("?" * request_ids)


def recorded(request_ids: int) -> str:
    """The calls of so many requests that are booked by their record."""
    return RECORDED % ", ".join("?" * request_ids)


def spend(by: tuple[str, ...], *, has_since: bool, join_tags: str) -> str:
    """Requests, input tokens, output tokens and cost, then the groups asked for. Takes the moment if `has_since`.

    `join_tags` joins each of an entry's tags as `t.value`, which every SQL writes in its own way.
    """
    columns = "".join(f", {_GROUPS[name]}" for name in by)  # names are checked: a KeyError here is our own bug
    positions = ", ".join(str(position) for position in range(5, 5 + len(by)))
    return f"""
        SELECT COUNT(DISTINCT e.id), COALESCE(SUM(a.input_tokens), 0), COALESCE(SUM(a.output_tokens), 0),
               COALESCE(SUM(a.cost_nano_usd), 0){columns}
        FROM entries AS e LEFT JOIN attempts AS a ON a.entry_id = e.id {join_tags if "tag" in by else ""}
        {"WHERE e.at >= ?" if has_since else ""}
        {f"GROUP BY {positions}" if by else ""}
        ORDER BY 4 DESC, 1 DESC{f", {positions}" if by else ""}
    """  # noqa: S608 - assembled from the constants above only
