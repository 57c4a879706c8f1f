"""Renders the Helm chart with files of values and holds the outcome against the schemas of Kubernetes and of the Prometheus operator;
and the compose file against its schema.

    chart.py VALUES.yaml...

Prints one JSON object: for each file of values its documents by template, or why Helm refused it; and what is wrong anywhere.
"""

import json
import subprocess
import sys
from pathlib import Path

import helm_python
import jsonschema
import kubernetes_validate
import yaml
from yamllint import linter
from yamllint.config import YamlLintConfig

HERE = Path(__file__).resolve().parent
CHART = HERE.parent.parent / "deploy/helm/retention-signals"

# The oldest that Chart.yaml allows, and the newest that the package knows.
KUBERNETES = ["1.27", kubernetes_validate.latest_version()]

# Of what a program writes, how it looks says nothing.
RENDERED = YamlLintConfig("{extends: relaxed, rules: {line-length: disable, indentation: disable, empty-lines: disable, trailing-spaces: disable}}")
WRITTEN = YamlLintConfig("{extends: default, rules: {line-length: {max: 140}, document-start: disable, braces: disable, truthy: enable}}")

# Below it Helm recommends an icon.
WARNING = 2


def operator_schemas():
    """By kind, with fields that the kind does not have refused: the API server would drop them silently."""
    schemas = {}
    for path in sorted((HERE / "crds").glob("*.yaml")):
        definition = yaml.safe_load(path.read_text())["spec"]
        [version] = definition["versions"]
        schema = close(version["schema"]["openAPIV3Schema"])
        schema["properties"]["metadata"] = {"type": "object", "required": ["name"]}
        key = (f"{definition['group']}/{version['name']}", definition["names"]["kind"])
        schemas[key] = jsonschema.Draft202012Validator(schema)
    return schemas


def close(schema):
    if isinstance(schema, dict):
        for value in schema.values():
            close(value)
        if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
    elif isinstance(schema, list):
        for value in schema:
            close(value)
    return schema


def problems_of(document, schemas):
    kind = (document["apiVersion"], document["kind"])
    if kind in schemas:
        for error in schemas[kind].iter_errors(document):
            yield f"{kind[1]}: {error.json_path}: {error.message}"
        return
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{kind[1]} in Kubernetes {version}: {'.'.join(map(str, error.path))}: {error.message}"
        except kubernetes_validate.SchemaNotFoundError as error:
            yield error.message


def lint(name, text, config):
    return [f"{name}: {found}" for found in linter.run(text, config)]


def render(chart, path, schemas):
    values = helm_python.values_from_yaml(path.read_text())
    try:
        chart.validate_schema(values)
        rendered = chart.render(values=values, name="shop", namespace="retention")
    except helm_python.HelmError as error:
        return {"refused": str(error)}
    problems = lint(path.name, path.read_text(), WRITTEN)
    report = helm_python.lint(CHART, values, strict=True, quiet=True)
    problems += report["errors"] + [message["error"] for message in report["messages"] if message["severity"] >= WARNING]
    documents = {}
    for template, text in sorted(rendered.items()):
        name = template.removeprefix("retention-signals/templates/")
        if name == "NOTES.txt":
            documents[name] = text
            continue
        problems += lint(f"{path.name}: {name}", text, RENDERED)
        documents[name] = [document for document in yaml.safe_load_all(text) if document]
        for document in documents[name]:
            problems += [f"{path.name}: {name}: {problem}" for problem in problems_of(document, schemas)]
    return {"problems": problems, "documents": documents}


def check_jsonschema(*arguments):
    command = [sys.executable, "-m", "check_jsonschema", *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return [] if ended.returncode == 0 else [ended.stdout + ended.stderr]


def main():
    schemas = operator_schemas()
    schema = CHART / "values.schema.json"
    problems = check_jsonschema("--check-metaschema", schema)
    problems += check_jsonschema("--schemafile", schema, CHART / "values.yaml")
    problems += check_jsonschema("--builtin-schema", "vendor.compose-spec", CHART.parent.parent / "compose.yaml")
    for name in ["Chart.yaml", "values.yaml"]:
        problems += lint(name, (CHART / name).read_text(), WRITTEN)
    with helm_python.Chart.load(CHART) as chart:
        files = sorted(file["name"] for file in chart.files)
        rendered = {Path(path).stem: render(chart, Path(path), schemas) for path in sys.argv[1:]}
    rules = [group for path in sorted((CHART / "rules").glob("*.yml")) for group in yaml.safe_load(path.read_text())["groups"]]
    print(json.dumps({"problems": problems, "files": files, "rules": rules, "rendered": rendered}))


main()
