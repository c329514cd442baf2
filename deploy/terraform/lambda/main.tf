resource "aws_lambda_function" "this" {
  # checkov:skip=CKV_AWS_116: an event source mapping of a stream has its own destination
  # checkov:skip=CKV_AWS_173: no variable holds a secret
  # checkov:skip=CKV_AWS_272: who signs code is the account's policy
  # checkov:skip=CKV_AWS_50: there is nothing to trace but one statement
  function_name                  = var.name
  description                    = "Applies streams of DynamoDB to PostgreSQL"
  filename                       = var.package
  source_code_hash               = filebase64sha256(var.package)
  handler                        = "replicator.lambda_handler.handler"
  runtime                        = "python3.12"
  architectures                  = [var.architecture]
  role                           = aws_iam_role.this.arn
  memory_size                    = var.memory_megabytes
  timeout                        = var.timeout_seconds
  reserved_concurrent_executions = var.reserved_concurrency

  environment {
    variables = merge(
      { REPLICATOR_CONFIG = "/var/task/replicator.yaml" },
      var.password_secret_arn == null ? {} : { REPLICATOR_TARGET__PASSWORD_SECRET = var.password_secret_arn },
      var.database_user_arn == null ? {} : { REPLICATOR_TARGET__IAM_AUTH = "true" },
      var.environment,
    )
  }

  vpc_config {
    subnet_ids         = var.subnet_ids
    security_group_ids = var.security_group_ids
  }

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.this.name
  }
}

locals {
  tables_of = { for table, arn in var.streams : arn => table... }
  # one mapping for each stream: tables may share one of Kinesis
  mappings = { for arn, tables in local.tables_of : sort(tables)[0] => arn }
  kinesis  = [for arn in keys(local.tables_of) : arn if split(":", arn)[2] == "kinesis"]
  dynamodb = [for arn in keys(local.tables_of) : arn if split(":", arn)[2] == "dynamodb"]
}

resource "aws_lambda_event_source_mapping" "this" {
  for_each                       = local.mappings
  event_source_arn               = each.value
  function_name                  = aws_lambda_function.this.arn
  starting_position              = "TRIM_HORIZON"
  batch_size                     = var.batch_size
  parallelization_factor         = var.parallelization_factor
  function_response_types        = ["ReportBatchItemFailures"]
  bisect_batch_on_function_error = true
  # for ever: what cannot be applied is a dead letter, so a failure is a server that is away
  maximum_retry_attempts        = -1
  maximum_record_age_in_seconds = -1

  destination_config {
    on_failure {
      destination_arn = aws_s3_bucket.failures.arn
    }
  }
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_key_arn
}

resource "aws_s3_bucket" "failures" {
  # checkov:skip=CKV_AWS_18: nothing arrives unless Lambda gives a batch up, which it is told not to
  # checkov:skip=CKV_AWS_144: what arrives is evidence, the records are in the stream
  # checkov:skip=CKV2_AWS_61: evidence is kept until somebody has checked it
  # checkov:skip=CKV2_AWS_62: the alarms tell
  bucket_prefix = "${var.name}-failures-"
}

resource "aws_s3_bucket_versioning" "failures" {
  bucket = aws_s3_bucket.failures.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "failures" {
  bucket = aws_s3_bucket.failures.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "aws:kms"
    }
  }
}

resource "aws_s3_bucket_public_access_block" "failures" {
  bucket                  = aws_s3_bucket.failures.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}
