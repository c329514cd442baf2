resource "aws_iam_role" "this" {
  name_prefix        = "${var.name}-"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role_policy" "this" {
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.this.json
}

resource "aws_iam_role_policy" "streams" {
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.streams.json
}

# as of lambda.json and lambda-kinesis.json of deploy/iam
data "aws_iam_policy_document" "streams" {
  # checkov:skip=CKV_AWS_356: ListStreams has no narrower resource
  dynamic "statement" {
    for_each = length(local.dynamodb) > 0 ? [local.dynamodb] : []
    content {
      actions   = ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = length(local.kinesis) > 0 ? [local.kinesis] : []
    content {
      actions = [
        "kinesis:DescribeStream",
        "kinesis:DescribeStreamSummary",
        "kinesis:GetRecords",
        "kinesis:GetShardIterator",
        "kinesis:ListShards",
      ]
      resources = statement.value
    }
  }

  statement {
    actions = concat(
      length(local.dynamodb) > 0 ? ["dynamodb:ListStreams"] : [],
      length(local.kinesis) > 0 ? ["kinesis:ListStreams"] : [],
    )
    resources = ["*"]
  }
}

data "aws_iam_policy_document" "this" {
  # checkov:skip=CKV_AWS_111: network interfaces of a function in a VPC have no narrower resource
  # checkov:skip=CKV_AWS_356: as above
  statement {
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }

  statement {
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.failures.arn}/*"]
  }

  statement {
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.failures.arn]
  }

  dynamic "statement" {
    for_each = var.password_secret_arn[*]
    content {
      actions   = ["secretsmanager:GetSecretValue"]
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = var.database_user_arn[*]
    content {
      actions   = ["rds-db:connect"]
      resources = [statement.value]
    }
  }

  statement {
    actions = [
      "ec2:AssignPrivateIpAddresses",
      "ec2:CreateNetworkInterface",
      "ec2:DeleteNetworkInterface",
      "ec2:DescribeNetworkInterfaces",
      "ec2:DescribeSubnets",
      "ec2:UnassignPrivateIpAddresses",
    ]
    resources = ["*"]
  }
}
