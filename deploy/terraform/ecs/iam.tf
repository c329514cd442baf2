data "aws_caller_identity" "here" {}
data "aws_partition" "here" {}
data "aws_region" "here" {}

locals {
  place = {
    partition = data.aws_partition.here.partition
    region    = data.aws_region.here.name
    account   = data.aws_caller_identity.here.account_id
  }
  policies    = "${path.module}/../../iam"
  lease_table = try(var.config.coordination.table, "replicator-leases")
  leases      = merge(local.place, { lease_table = local.lease_table })

  # the tables that the configuration loads from exports or heals by them, and those that people load so
  exported = distinct([
    for table in concat(
      [for name, entry in var.config.tables : reverse(split("/", coalesce(try(entry.table, null), name)))[0]
      if contains([try(entry.initial_load, ""), try(entry.on_gap, "")], "export")],
      var.export_tables,
    ) : table if contains(var.source_tables, table)
  ])
  export = {
    bucket = try(var.environment["REPLICATOR_EXPORT__BUCKET"], var.config.export.bucket, "")
    prefix = try(var.environment["REPLICATOR_EXPORT__PREFIX"], var.config.export.prefix, "")
    key    = try(var.environment["REPLICATOR_EXPORT__KMS_KEY"], var.config.export.kms_key, "")
  }
  export_policies = length(local.exported) == 0 ? [] : [
    for policy in concat(
      [for table in local.exported : templatefile("${local.policies}/export.json", merge(local.place, local.export, { table = table }))],
      [templatefile("${local.policies}/export-bucket.json", merge(local.place, local.export))],
      local.export.key == "" ? [] : [templatefile("${local.policies}/encrypted-export.json", merge(local.place, local.export))],
    ) : replace(policy, "${local.export.bucket}//", "${local.export.bucket}/") # without a prefix
  ]

  # what the process may do: the documents that are tested against its calls
  task_policies = concat(
    [for table in var.source_tables : templatefile("${local.policies}/stream.json", merge(local.place, { table = table })) if !contains(keys(var.kinesis_streams), table)],
    [for table, stream in var.kinesis_streams : templatefile("${local.policies}/kinesis.json", merge(local.place, { table = table, kinesis_stream = stream }))],
    [for table in var.source_tables : templatefile("${local.policies}/snapshot.json", merge(local.place, { table = table })) if var.snapshots],
    local.export_policies,
    [templatefile("${local.policies}/leases.json", local.leases)],
    var.create_lease_table ? [] : [templatefile("${local.policies}/create-leases.json", local.leases)],
    var.password_secret_arn == null ? [] : [templatefile("${local.policies}/password-secret.json", { secret = var.password_secret_arn })],
    var.rds_iam == null ? [] : [templatefile("${local.policies}/rds-iam.json", merge(local.place, {
      database_resource = var.rds_iam.resource_id
      database_user     = var.rds_iam.user
    }))],
  )
  task_statements = flatten([for policy in local.task_policies : jsondecode(policy).Statement])
}

data "aws_iam_policy_document" "tasks" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.place.account]
    }
  }
}

# as whom the process calls AWS
resource "aws_iam_role" "task" {
  name               = "${var.name}-task"
  assume_role_policy = data.aws_iam_policy_document.tasks.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "task" {
  name   = "replicator"
  role   = aws_iam_role.task.id
  policy = jsonencode({ Version = "2012-10-17", Statement = local.task_statements })
}

# as whom ECS pulls the image, writes logs and reads secrets
resource "aws_iam_role" "execution" {
  name               = "${var.name}-execution"
  assume_role_policy = data.aws_iam_policy_document.tasks.json
  tags               = var.tags
}

resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = "arn:${local.place.partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

locals {
  # what ECS puts into containers that end before the worker starts
  injected = compact([var.migrate ? var.migrate_dsn_secret_arn : null, var.hashing_salt_secret_arn])
}

resource "aws_iam_role_policy" "execution" {
  count = length(local.injected) > 0 ? 1 : 0
  name  = "secrets"
  role  = aws_iam_role.execution.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = flatten([
      for secret in local.injected : jsondecode(templatefile("${local.policies}/password-secret.json", { secret = secret })).Statement
    ])
  })
}
