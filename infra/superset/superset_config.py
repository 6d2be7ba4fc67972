"""Superset's settings that differ from its own: its pages ask no other host, and nothing is kept of an answer.

Secrets and the folder of its metadata are the variables `SUPERSET_SECRET_KEY` and `SUPERSET_HOME`, which Superset reads itself.
"""

from superset.config import TALISMAN_CONFIG

#: Without Superset's counting pixel, maps and fonts of other hosts.
_OWN = {
    "img-src": ["'self'", "blob:", "data:"],
    "connect-src": ["'self'"],
    "style-src": ["'self'", "'unsafe-inline'"],
    "font-src": ["'self'"],
}
TALISMAN_CONFIG = {
    **TALISMAN_CONFIG,
    "content_security_policy": {**TALISMAN_CONFIG["content_security_policy"], **_OWN},
}
