"""JSON paths and what they lead to, as jsonpath2 says: tests/experiments asks it again."""

DOCUMENT = {
    "status": "confirmed",
    "n": 2,
    "flag": True,
    "none": None,
    "list": [{"code": "a", "took": 5}, {"code": "b", "took": 50}, {"took": "long"}],
    "deep": {"x": {"y": 1}},
}

CASES = [
    ("$.status", ["confirmed"]),
    ('$["status"]', ["confirmed"]),
    ("$.none", [None]),
    ("$.missing", []),
    ("$.status.more", []),
    ("$.deep.x.y", [1]),
    ("$.list[*].code", ["a", "b"]),
    ("$.list[1].code", ["b"]),
    ("$.list[-1].took", ["long"]),
    ("$.list[7]", []),
    ("$.list.code", []),
    ("$.deep[*].y", [1]),
    ("$.list[*][?(@.took > 10)].code", ["b"]),
    ("$.list[*][?(@.took <= 5)].code", ["a"]),
    ("$.list[?(@.took > 10)]", []),
    ('$.list[*][?(@.code != "a")].took', [50]),
    ('$.list[*].took[?(@ = "long")]', ["long"]),
    ('$[?(@.status = "confirmed" or @.code = "sold_out")].n', [2]),
    ('$[?(@.status = "confirmed" and @.flag = false)].n', []),
    ("$[?(@.flag = true and @.n >= 2 and @.n < 3)].status", ["confirmed"]),
    ("$[?(@.deep.x.y = 1)].n", [2]),
    ("$[?(@.none = null)].n", [2]),
    ('$[?(@.missing != "x")].n', []),
    ('$[?(@.n > "a")].n', []),
]

NOT_UNDERSTOOD = [
    "",
    "status",
    "$..code",
    "$.list[0:1]",
    "$.list[0,1]",
    "$[?(@.n = 2 and @.flag = true or @.n = 3)]",
    "$[?((@.n = 2))]",
    "$[?(not @.n)]",
    "$[?(@.n)]",
    "$[?(@.n == 2)]",
    "$[?(@.n = 2]",
    "$.list[x]",
]
