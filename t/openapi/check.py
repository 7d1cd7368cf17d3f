#!/usr/bin/python3
"""Holds docs/openapi.yaml against itself and against answers of the server.

    check.py structure DOCUMENT ROUTES.c   is it OpenAPI 3.1, has it all routes
    check.py operations DOCUMENT           what it documents, as JSON
    check.py answers DOCUMENT < LINES      are these answers as it says

A line of the last is one exchange as JSON: method, path, status, headers
(lower case), body (base64), and request, the body that was sent as JSON; or
a message of a WebSocket: schema and message.
What it finds is printed as "ok NAME" and "not ok NAME", with lines of "# "
that say why.  Knows no network and starts nothing; t/openapi.t does.
"""

import base64
import json
import re
import sys
from pathlib import Path
from typing import Any, Iterator, Optional
from urllib.parse import parse_qsl

import yaml
from jsonschema import Draft202012Validator

METHODS = ("get", "put", "post", "delete", "patch")

# Headers that any answer may have.
PLAIN_HEADERS = {"server", "date", "connection", "content-type",
                 "content-length", "transfer-encoding", "keep-alive"}


def report(name: str, faults: list[str]) -> None:
    print("not ok" if faults else "ok", name)
    for fault in faults:
        print("#", fault.replace("\n", " ")[:400])


class Document:
    """The document, its references, and its operations by their ids."""

    def __init__(self, path: str) -> None:
        self.root: dict[str, Any] = yaml.safe_load(Path(path).read_text())
        self.operations: dict[str, dict[str, Any]] = {}
        self.routes: list[tuple[str, re.Pattern[str], str]] = []

        for template, item in self.root["paths"].items():
            pattern = re.compile(re.sub(r"\{\w+\}", "([^/]+)", template))
            for method in METHODS:
                if method in item:
                    operation = item[method]
                    self.operations[operation["operationId"]] = operation
                    self.routes.append((method, pattern,
                                        operation["operationId"]))

    def follow(self, node: Any) -> Any:
        """The node, or what it refers to if it is a reference."""
        while isinstance(node, dict) and set(node) == {"$ref"}:
            node = self.resolve(node["$ref"])
        return node

    def resolve(self, reference: str) -> Any:
        """What a reference into this document leads to, or KeyError."""
        node: Any = self.root
        for name in reference.removeprefix("#/").split("/"):
            node = node[name.replace("~1", "/").replace("~0", "~")]
        return node

    def find(self, method: str, path: str) -> Optional[str]:
        """The operation of a request; one without parameters wins."""
        found = None
        for known, pattern, operation in self.routes:
            match = pattern.fullmatch(path)
            if known == method and match:
                found = operation
                if not match.groups():
                    break
        return found

    def response(self, operation: str, status: str) -> Optional[Any]:
        return self.follow(
            self.operations[operation]["responses"].get(status))

    def codes(self, response: dict[str, Any]) -> list[Optional[str]]:
        """The error codes of a response; [None] for one that is no error."""
        content = response.get("content", {}).get("application/json", {})
        schema = content.get("schema", {})
        code = schema.get("properties", {}).get("code", {})
        return code.get("enum", [None])

    def faults(self, value: Any, schema: Any) -> list[str]:
        """What of a value is not as its schema says."""
        # Its references are looked for in what it is part of.
        validator = Draft202012Validator(
            {"allOf": [schema], "components": self.root["components"]})
        return [f"{error.json_path}: {error.message}"
                for error in validator.iter_errors(value)]


# --- the document by itself --------------------------------------------------

def walk(node: Any, path: str = "#") -> Iterator[tuple[str, Any]]:
    yield path, node
    children = (node.items() if isinstance(node, dict)
                else enumerate(node) if isinstance(node, list) else ())
    for name, child in children:
        escaped = str(name).replace("~", "~0").replace("/", "~1")
        yield from walk(child, f"{path}/{escaped}")


def check_form(doc: Document) -> list[str]:
    form = yaml.safe_load(
        Path(__file__).with_name("structure.yaml").read_text())
    Draft202012Validator.check_schema(form)
    return [f"{error.json_path}: {error.message}"
            for error in Draft202012Validator(form).iter_errors(doc.root)]


def check_references(doc: Document) -> list[str]:
    faults, used = [], set()

    for path, node in walk(doc.root):
        if not isinstance(node, dict) or not isinstance(node.get("$ref"), str):
            continue
        used.add(node["$ref"])
        try:
            doc.resolve(node["$ref"])
        except (KeyError, TypeError):
            faults.append(f"{path}: {node['$ref']} leads nowhere")

    # of no path, and what a WebSocket carries
    spare = {"#/components/responses/NotFound",
             "#/components/responses/MethodNotAllowed",
             "#/components/schemas/WsClient", "#/components/schemas/WsServer"}
    for kind, members in doc.root["components"].items():
        faults += [f"nothing refers to {kind}/{name}" for name in members
                   if kind != "securitySchemes"
                   and f"#/components/{kind}/{name}" not in used | spare]
    return faults


def check_operations(doc: Document) -> list[str]:
    faults = []
    tags = {tag["name"] for tag in doc.root["tags"]}
    ids = [operation["operationId"]
           for item in doc.root["paths"].values()
           for method, operation in item.items() if method in METHODS]

    faults += [f"{i} is there twice" for i in set(ids) if ids.count(i) > 1]

    for template, item in doc.root["paths"].items():
        for method in METHODS:
            if method not in item:
                continue
            operation = item[method]
            parameters = [doc.follow(p) for p in item.get("parameters", [])
                          + operation.get("parameters", [])]
            names = [(p["in"], p["name"]) for p in parameters]
            in_path = {name for where, name in names if where == "path"}

            if in_path != set(re.findall(r"\{(\w+)\}", template)):
                faults.append(f"{template}: its parameters are {in_path}")
            if len(names) != len(set(names)):
                faults.append(f"{method} {template}: a parameter twice")
            faults += [f"{method} {template}: there is no tag {tag}"
                       for tag in operation["tags"] if tag not in tags]
    return faults


def schemas(doc: Document) -> Iterator[tuple[str, Any]]:
    for name, schema in doc.root["components"]["schemas"].items():
        yield f"#/components/schemas/{name}", schema
    for path, node in walk(doc.root):
        if path.endswith("/schema") and "/schemas/" not in path:
            yield path, node


def check_schemas(doc: Document) -> list[str]:
    meta = Draft202012Validator(Draft202012Validator.META_SCHEMA)
    return [f"{path}: {error.message}" for path, schema in schemas(doc)
            for error in meta.iter_errors(schema)]


def check_examples(doc: Document) -> list[str]:
    faults = []
    for path, node in walk(doc.root):
        if not isinstance(node, dict):
            continue
        if "schema" in node:
            values = [e["value"] for e in node.get("examples", {}).values()]
            values += [node["example"]] if "example" in node else []
            schema = node["schema"]
        elif isinstance(node.get("examples"), list):
            values, schema = node["examples"], node
        else:
            continue
        faults += [f"{path}: {value}: {fault}" for value in values
                   for fault in doc.faults(value, schema)]
    return faults


def check_routes(doc: Document, source: str) -> list[str]:
    """The route table of the module and the paths, both ways; rows of what is
    not built stand in the document's text."""
    built, documented = set(), set()

    rows = re.findall(r"\{\s*((?:NGX_HTTP_\w+[\s|]*)+),\s*ngx_string\(\"([^\"]+)\"\),"
                      r"[^}]*?(\w+)\s*\}",
                      Path(source).read_text())
    for methods, path, handler in rows:
        if handler.endswith("_unbuilt"):
            continue
        path = re.sub(r"\{\w+\}", "{}", path)
        names = re.findall(r"NGX_HTTP_(\w+)", methods)
        if ("GET" in names) != ("HEAD" in names) \
                and not re.search(r"/(?:processes|ws)\b", path):
            return [f"{path}: HEAD is not answered as GET is"]
        built |= {(name.lower(), f"/v1/{path}")
                  for name in names if name != "HEAD"}

    for template, item in doc.root["paths"].items():
        path = re.sub(r"\{\w+\}", "{}", template)
        documented |= {(method, path) for method in METHODS if method in item}

    if len(rows) < 10:
        return [f"only {len(rows)} rows were found in {source}"]
    return [f"{method} {path} is built and not documented"
            for method, path in sorted(built - documented)] \
        + [f"{method} {path} is documented and not built"
           for method, path in sorted(documented - built)]


def structure(doc: Document, source: str) -> None:
    report("the document is OpenAPI 3.1", check_form(doc))
    report("its references lead somewhere", check_references(doc))
    report("its operations fit their paths", check_operations(doc))
    report("its schemas are schemas", check_schemas(doc))
    report("its examples are as their schemas say", check_examples(doc))
    report("it has the routes of the module", check_routes(doc, source))


# --- what it documents -------------------------------------------------------

def operations(doc: Document) -> None:
    rows = []
    for method, pattern, name in doc.routes:
        operation = doc.operations[name]
        body = doc.follow(operation.get("requestBody", {}))
        answers = [[status, code]
                   for status, response in operation["responses"].items()
                   if status != "default"
                   for code in doc.codes(doc.follow(response))]
        template = re.sub(r"\(\[\^/\]\+\)", "{}", pattern.pattern)
        parameters = [doc.follow(p) for p in operation.get("parameters", [])]
        keyed = any(p["name"] == "Idempotency-Key" for p in parameters)
        queried = any(p["in"] == "query" for p in parameters)
        rows.append({"name": name, "method": method.upper(), "path": template,
                     "json": "application/json" in body.get("content", {}),
                     "keyed": keyed, "queried": queried, "answers": answers})
    messages = [message["properties"]["type"]["const"] for message
                in doc.root["components"]["schemas"]["WsServer"]["oneOf"]]
    print(json.dumps({"operations": rows, "messages": messages}))


# --- answers of the server ---------------------------------------------------

def header_faults(doc: Document, headers: dict[str, str],
                  response: dict[str, Any]) -> list[str]:
    known = {name.lower(): doc.follow(header)
             for name, header in response.get("headers", {}).items()}
    faults = [f"there is no header {name}" for name, header in known.items()
              if header.get("required") and name not in headers]

    for name, value in headers.items():
        if name in known:
            faults += doc.faults(value, known[name]["schema"])
        elif name not in PLAIN_HEADERS:
            faults.append(f"the header {name} is not documented")
    return faults


def body_faults(doc: Document, body: bytes, kind: str,
                response: dict[str, Any]) -> list[str]:
    content = response.get("content", {})
    if not content:
        return ["there is a body, which is not documented"] if body else []
    if kind not in content:
        return [f"its content type {kind} is not documented"]

    schema = content[kind].get("schema")
    try:
        if kind == "application/json":
            return doc.faults(json.loads(body), schema)
        if kind == "application/x-ndjson":
            return [fault for line in body.decode().splitlines() if line
                    for fault in doc.faults(json.loads(line), schema)]
    except ValueError as error:
        return [f"its body is not JSON: {error}"]
    return []


def error_faults(headers: dict[str, str], answer: dict[str, Any]) -> list[str]:
    faults = []
    if answer.get("request_id") != headers.get("x-request-id"):
        faults.append("request_id is not that of X-Request-Id")
    if answer.get("retryable") != ("retry-after" in headers):
        faults.append("retryable and Retry-After contradict each other")
    return faults


def query_faults(doc: Document, operation: str, query: str) -> list[str]:
    """Whether the parameters of a request that was carried out are known, and
    texts among them as they may be."""
    known = {p["name"]: p.get("schema", {})
             for p in map(doc.follow,
                          doc.operations[operation].get("parameters", []))
             if p["in"] == "query"}
    faults = []
    for name, value in parse_qsl(query):
        if name not in known:
            faults.append(f"the parameter {name} is not documented")
        elif doc.follow(known[name]).get("type") == "string":
            faults += [f"the parameter {name}: {fault}"
                       for fault in doc.faults(value, known[name])]
    return faults


def request_faults(doc: Document, operation: str, sent: Any) -> list[str]:
    """Whether a request that was carried out is one by the document."""
    body = doc.follow(doc.operations[operation].get("requestBody", {}))
    schema = body.get("content", {}).get("application/json", {}).get("schema")
    if schema is None:
        return ["a body was sent, which is not documented"]
    return [f"request: {fault}" for fault in doc.faults(sent, schema)]


def exchange_faults(doc: Document, line: dict[str, Any], operation: str,
                    response: dict[str, Any]) -> tuple[list[str],
                                                       Optional[str]]:
    headers = line["headers"]
    body = base64.b64decode(line["body"])
    kind = headers.get("content-type", "").split(";")[0]
    faults = header_faults(doc, headers, response) \
        + body_faults(doc, body, kind, response)

    if line["status"] < 400:
        faults += query_faults(doc, operation, line["path"].partition("?")[2])
        if line.get("request") is not None:
            faults += request_faults(doc, operation, line["request"])
        return faults, None

    try:
        answer = json.loads(body)
    except ValueError:
        return faults, None
    return faults + error_faults(headers, answer), answer.get("code")


def answers(doc: Document, lines: Iterator[str]) -> None:
    general = {404: "NotFound", 405: "MethodNotAllowed"}

    for text in lines:
        line = json.loads(text)
        if "schema" in line:
            report(f"{line['schema']} {line['message'].get('type')}",
                   doc.faults(line["message"],
                              {"$ref": f"#/components/schemas/{line['schema']}"}))
            continue

        path = line["path"].split("?")[0]
        operation = doc.find(line["method"].lower(), path)
        status = line["status"]
        label = f"{line['method']} {path}"

        if operation is None:
            name = general.get(status)
            response = doc.root["components"]["responses"].get(name)
        else:
            label = operation
            response = doc.response(operation, str(status))

        if response is None:
            report(f"{label} {status}", ["its status is not documented: "
                                         + str(base64.b64decode(line["body"]))])
            continue

        faults, code = exchange_faults(doc, line, operation or "", response)
        report(f"{label} {status}" + (f" {code}" if code else ""), faults)


def main(arguments: list[str]) -> int:
    wanted = {"structure": 3, "operations": 2, "answers": 2}
    if not arguments or wanted.get(arguments[0]) != len(arguments):
        print(__doc__, file=sys.stderr)
        return 2

    doc = Document(arguments[1])
    if arguments[0] == "structure":
        structure(doc, arguments[2])
    elif arguments[0] == "operations":
        operations(doc)
    else:
        answers(doc, iter(sys.stdin))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
