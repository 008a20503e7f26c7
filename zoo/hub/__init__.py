"""The Hugging Face Hub: a client with time limits, models that are downloaded and verified, one commit per push.

client         the Hub's own client with time limits; sends the token over https or loopback only
offline        is the Hub there? Fetches by other libraries (timm, datasets) fail fast and with advice
slow_response  answers that trickle
errors         what the Hub or the network says, in the user's words
repository     what a repository holds, and one commit on top of exactly that
download       a model: the revision is resolved to a commit, only the files of a model are fetched, every hash is compared
verify_config  what config.json says, which a stranger wrote, is held against the weights before a model is made of it
model_cache    models that were fetched before
"""

from zoo.hub.client import api, downloaded, patient, request_timeout
from zoo.hub.errors import explained, refusal
from zoo.hub.offline import go_offline, hub, reachable

__all__ = [
    "api",
    "downloaded",
    "explained",
    "go_offline",
    "hub",
    "patient",
    "reachable",
    "refusal",
    "request_timeout",
]
