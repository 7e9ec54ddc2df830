"""What other programs' kinds may hold, as far as the kit uses them: closed, so that a misspelt field is found.

Written after the operators' own definitions: CloudNativePG 1.30, Prometheus's operator 0.80.
"""

from typing import Any


def _closed(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*required], "additionalProperties": False}


_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_QUANTITY = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|Ki|Mi|Gi|Ti)?$"}
_SWITCH = {"type": "boolean"}
_TEXTS = {"type": "object", "additionalProperties": _TEXT}
_STORAGE = _closed(("size",), size=_QUANTITY, storageClass=_TEXT)

_POSTGRESQL = _closed(
    synchronous=_closed(
        ("method", "number"),
        method={"enum": ["any", "first"]},
        number={"type": "integer", "minimum": 1},
        dataDurability={"enum": ["required", "preferred"]},
        failoverQuorum=_SWITCH,
        maxStandbyNamesFromCluster=_COUNT,
    ),
    parameters=_TEXTS,
    pg_hba={"type": "array", "items": _TEXT},
)

_CLUSTER = _closed(
    ("instances", "storage"),
    instances={"type": "integer", "minimum": 1},
    imageName=_TEXT,
    primaryUpdateStrategy={"enum": ["supervised", "unsupervised"]},
    primaryUpdateMethod={"enum": ["switchover", "restart"]},
    switchoverDelay=_COUNT,
    stopDelay=_COUNT,
    failoverDelay=_COUNT,
    bootstrap=_closed(
        initdb=_closed(database=_TEXT, owner=_TEXT, encoding=_TEXT, localeCollate=_TEXT, localeCType=_TEXT)
    ),
    postgresql=_POSTGRESQL,
    affinity=_closed(
        enablePodAntiAffinity=_SWITCH, topologyKey=_TEXT, podAntiAffinityType={"enum": ["required", "preferred"]}
    ),
    enablePDB=_SWITCH,
    storage=_STORAGE,
    walStorage=_STORAGE,
    resources=_closed(
        requests={"type": "object", "additionalProperties": _QUANTITY},
        limits={"type": "object", "additionalProperties": _QUANTITY},
    ),
)

_POD_MONITOR = _closed(
    ("selector", "podMetricsEndpoints"),
    jobLabel=_TEXT,
    selector=_closed(("matchLabels",), matchLabels=_TEXTS),
    podMetricsEndpoints={
        "type": "array",
        "items": _closed(
            ("port",),
            port=_TEXT,
            path=_TEXT,
            interval={"type": "string", "pattern": "^[0-9]+s$"},
            authorization=_closed(credentials=_closed(("name", "key"), name=_TEXT, key=_TEXT), type=_TEXT),
        ),
    },
)

_PATCHED = {"type": "object"}
_KUSTOMIZATION = {
    "namespace": _TEXT,
    "resources": {"type": "array", "items": _TEXT},
    "configMapGenerator": {"type": "array", "items": _PATCHED},
    "secretGenerator": {"type": "array", "items": _PATCHED},
    "images": {"type": "array", "items": _closed(("name",), name=_TEXT, newName=_TEXT, newTag=_TEXT)},
}


def _kind(spec: dict[str, Any]) -> dict[str, Any]:
    names = ("apiVersion", "kind", "metadata", "spec")
    return _closed(names, apiVersion=_TEXT, kind=_TEXT, metadata={"type": "object"}, spec=spec)


KINDS: dict[tuple[str, str], dict[str, Any]] = {
    ("postgresql.cnpg.io/v1", "Cluster"): _kind(_CLUSTER),
    ("monitoring.coreos.com/v1", "PodMonitor"): _kind(_POD_MONITOR),
    ("kustomize.config.k8s.io/v1beta1", "Kustomization"): _closed(
        ("apiVersion", "kind", "resources"), apiVersion=_TEXT, kind=_TEXT, **_KUSTOMIZATION
    ),
}
"""JSON schema by API version and kind."""
