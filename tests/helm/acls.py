"""Reads what `acls print` printed as Strimzi and Terraform read it, and prints the rules of both in one form:

    acls.py STRIMZI.yaml TERRAFORM.tf
"""

import json
import sys
from pathlib import Path

import hcl2
import yaml

KINDS = {"topic": "Topic", "group": "Group", "transactionalId": "TransactionalID"}
PATTERNS = {"literal": "Literal", "prefix": "Prefixed"}


def strimzi(text):
    for user in yaml.safe_load_all(text):
        assert (user["apiVersion"], user["kind"]) == ("kafka.strimzi.io/v1", "KafkaUser"), user
        assert set(user["spec"]) == {"authentication", "authorization"}, user
        assert user["spec"]["authentication"] == {"type": "scram-sha-512"}, user
        authorization = user["spec"]["authorization"]
        assert authorization["type"] == "simple", user
        for rule in authorization["acls"]:
            resource = rule["resource"]
            assert set(rule) == {"resource", "operations"} and set(resource) == {"type", "name", "patternType"}, rule
            for operation in rule["operations"]:
                name = resource["name"]
                yield f"User:{user['metadata']['name']}", KINDS[resource["type"]], name, PATTERNS[resource["patternType"]], operation


def terraform(text):
    labels = set()
    for block in hcl2.loads(text)["resource"]:
        [(kind, named)] = block.items()
        [(label, fields)] = named.items()
        assert kind == '"kafka_acl"' and label not in labels, label
        labels.add(label)
        fields = {name: json.loads(value) for name, value in fields.items() if not name.startswith("__")}
        assert (fields.pop("acl_host"), fields.pop("acl_permission_type")) == ("*", "Allow"), label
        names = ["acl_principal", "resource_type", "resource_name", "resource_pattern_type_filter", "acl_operation"]
        yield tuple(fields.pop(name) for name in names)
        assert not fields, fields


read = [reader(Path(path).read_text()) for reader, path in zip([strimzi, terraform], sys.argv[1:], strict=True)]
print(json.dumps([sorted(map(list, rules)) for rules in read]))
