"""Creates the DynamoDB table that the compose file replicates, and writes the first orders."""

import asyncio

import aioboto3

TABLE = "orders"
CUSTOMERS = ("Ada", "Grace", "Edsger", "Barbara")


async def main() -> None:
    """Create the table with its stream unless it is there, then put one order per customer."""
    async with aioboto3.Session().client("dynamodb") as dynamodb:
        if TABLE not in (await dynamodb.list_tables())["TableNames"]:
            await dynamodb.create_table(
                TableName=TABLE,
                KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
                StreamSpecification={
                    "StreamEnabled": True,
                    "StreamViewType": "NEW_AND_OLD_IMAGES",
                },
            )
        for number, customer in enumerate(CUSTOMERS, start=1):
            await dynamodb.put_item(
                TableName=TABLE,
                Item={
                    "pk": {"S": f"order-{number}"},
                    "customer": {"M": {"name": {"S": customer}}},
                    "total": {"N": f"{number * 19}.90"},
                    "placedAt": {"N": f"17600000{number:02}000"},
                    "tags": {"SS": ["first", "sample"]},
                    "note": {"S": "unmapped attributes go to the column `extra`"},
                },
            )


asyncio.run(main())
