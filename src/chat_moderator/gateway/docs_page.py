"""The documentation page: the OpenAPI document as one HTML page that loads nothing."""

import base64
import hashlib
import json
from html import escape
from typing import Any, Final

STYLE: Final = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; }
pre { overflow-x: auto; padding: .75rem; background: color-mix(in srgb, currentColor 8%, transparent); }
code, pre { font: .875rem/1.45 ui-monospace, monospace; }
section { border-top: 1px solid color-mix(in srgb, currentColor 25%, transparent); margin-top: 1.5rem; }
table { border-collapse: collapse; } td, th { padding: .2rem 1rem .2rem 0; text-align: left; vertical-align: top; }
nav ul { columns: 18rem; padding-left: 1.25rem; } h3 code { font-size: 1.05rem; }
"""
HEADERS: Final = (
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'sha256-%b'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        % base64.b64encode(hashlib.sha256(STYLE.encode()).digest()),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
)


def page(document: dict[str, Any]) -> bytes:
    """The page."""
    info = document["info"]
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    links = "".join(
        f'<li><a href="#{escape(operation["operationId"])}">{method.upper()} {escape(path)}</a></li>'
        for path, method, operation in operations
    )
    sections = "".join(_section(*each) for each in operations)
    types = "".join(
        f'<section id="{escape(name)}"><h3><code>{escape(name)}</code></h3>'
        f"<p>{escape(schema.get('description', ''))}</p>{_code(schema)}</section>"
        for name, schema in document["components"]["schemas"].items()
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(info['title'])}</title><style>{STYLE}</style><main><h1>{escape(info['title'])}</h1>"
        f"<p>{escape(info['description'])}</p><p>The same for programs: <code>schema/openapi.json</code>.</p>"
        f"<nav><ul>{links}</ul></nav>{sections}<h2>Types</h2>{types}</main></html>"
    ).encode()


def _section(path: str, method: str, operation: dict[str, Any]) -> str:
    role = operation.get("x-role")
    needs = f"Needs a key with the role <b>{escape(role)}</b>." if role else "Public."
    parts = [
        f'<section id="{escape(operation["operationId"])}"><h3><code>{method.upper()} {escape(path)}</code></h3>',
        f"<p>{escape(operation['summary'])} {needs}</p>",
        f"<p>{escape(operation.get('description', ''))}</p>",
    ]
    if "parameters" in operation:
        rows = "".join(
            f"<tr><td><code>{escape(each['name'])}</code></td><td>{each['in']}</td>"
            f"<td><code>{escape(json.dumps(each['schema']))}</code></td></tr>"
            for each in operation["parameters"]
        )
        parts.append(f"<h4>Parameters</h4><table>{rows}</table>")
    if "requestBody" in operation:
        parts.append(f"<h4>Body</h4>{_example(operation['requestBody'])}")
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            parts.append(f"<h4>{status} {escape(response['description'])}</h4>{_example(response)}")
    refused = ", ".join(f"{status} {escape(each['description'])}" for status, each in operation["responses"].items())
    return f"{''.join(parts)}<p>Statuses: {refused}.</p></section>"


def _example(holder: dict[str, Any]) -> str:
    for media, content in holder.get("content", {}).items():
        reference = content["schema"].get("$ref", "").rpartition("/")[2]
        link = f'<a href="#{escape(reference)}">{escape(reference)}</a> ' if reference else ""
        example = _code(content["example"]) if "example" in content else ""
        return f"<p>{link}<code>{escape(media)}</code></p>{example}"
    return ""


def _code(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"
