"""The name that `init` proposes for a deployment, from that of a DynamoDB table."""

import re

import pytest

from replicator.cli.init import deployment_of
from replicator.config.settings import DEPLOYMENT


@pytest.mark.parametrize(
    ("table", "deployment"),
    [
        ("orders", "orders"),
        ("Shop.Main-Tbl", "Shop.Main-Tbl"),
        ("_internal", "internal"),
        ("-.-", "main"),
        ("t" * 255, "t" * 63),
    ],
)
def test_a_deployment_has_its_tables_name_as_far_as_the_key_takes_it(table: str, deployment: str):
    assert deployment_of(table) == deployment
    assert re.match(DEPLOYMENT, deployment)
