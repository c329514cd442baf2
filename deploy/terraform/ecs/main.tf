# Workers of one deployment as a service of ECS on Fargate. docs/operations/ecs.md walks through it.

locals {
  directory = "/etc/replicator"
  port      = 8080

  # what a container has in common with the others of its task
  container = {
    image                  = var.image
    essential              = false
    readonlyRootFilesystem = true
    linuxParameters        = { initProcessEnabled = true, capabilities = { drop = ["ALL"], add = [] } }
    mountPoints            = [{ sourceVolume = "config", containerPath = local.directory, readOnly = true }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = local.place.region
        awslogs-stream-prefix = "replicator"
        mode                  = "non-blocking"
        max-buffer-size       = "4m"
      }
    }
  }
  variables = merge(
    {
      AWS_REGION            = local.place.region
      REPLICATOR_HTTP__PORT = tostring(local.port)
    },
    var.database_ca_pem == "" ? {} : { PGSSLROOTCERT = "${local.directory}/ca.pem" },
    var.hashing_salt_secret_arn == null ? {} : { REPLICATOR_HASHING__SALT_FILE = "${local.directory}/salt" },
    var.password_secret_arn == null ? {} : { REPLICATOR_TARGET__PASSWORD_SECRET = var.password_secret_arn },
    var.environment,
  )
  environment = [for name, value in local.variables : { name = name, value = value }]

  # Fargate mounts no files: a container that ends writes them, as root, for all to read
  write_files = merge(local.container, {
    name        = "config"
    user        = "0"
    entryPoint  = ["python", "-c"]
    command     = ["import os, pathlib; [pathlib.Path('${local.directory}', n).write_text(os.environ.get(v, '')) for n, v in (('replicator.yaml', 'CONFIG'), ('ca.pem', 'CA'), ('salt', 'SALT'))]"]
    mountPoints = [{ sourceVolume = "config", containerPath = local.directory, readOnly = false }]
    environment = [
      { name = "CONFIG", value = yamlencode(merge({ version = 1 }, var.config)) },
      { name = "CA", value = var.database_ca_pem },
    ]
    secrets = var.hashing_salt_secret_arn == null ? [] : [{ name = "SALT", valueFrom = var.hashing_salt_secret_arn }]
  })
  migration = merge(local.container, {
    name        = "migrate"
    command     = ["migrate"]
    environment = local.environment
    secrets = var.migrate_dsn_secret_arn == null ? [] : [
      { name = "REPLICATOR_TARGET__MIGRATE_DSN", valueFrom = var.migrate_dsn_secret_arn }
    ]
    dependsOn = [{ containerName = "config", condition = "SUCCESS" }]
  })
  worker = merge(local.container, {
    name         = "replicator"
    essential    = true
    command      = ["run"]
    environment  = local.environment
    portMappings = [{ containerPort = local.port, protocol = "tcp" }]
    # the drain ends in less than 10 seconds
    stopTimeout = 20
    dependsOn   = [{ containerName = var.migrate ? "migrate" : "config", condition = "SUCCESS" }]
    # ECS does not look at the image's own
    healthCheck = {
      command     = ["CMD", "python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:${local.port}/healthz', timeout=4)"]
      interval    = 10
      timeout     = 5
      retries     = 3
      startPeriod = 30
    }
  })
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/ecs/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

resource "aws_dynamodb_table" "leases" {
  count                       = var.create_lease_table ? 1 : 0
  name                        = local.lease_table
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "leaseKey"
  deletion_protection_enabled = true
  tags                        = var.tags

  attribute {
    name = "leaseKey"
    type = "S"
  }
  server_side_encryption {
    enabled     = var.kms_key_arn != null
    kms_key_arn = var.kms_key_arn
  }
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.execution.arn
  container_definitions    = jsonencode(concat([local.write_files], var.migrate ? [local.migration] : [], [local.worker]))
  tags                     = var.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture
  }
  volume {
    name = "config"
  }
}

# the same migration as a task of its own, for one that takes longer than ECS waits for a container
resource "aws_ecs_task_definition" "migrate" {
  family                   = "${var.name}-migrate"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.execution.arn
  container_definitions    = jsonencode([local.write_files, merge(local.migration, { essential = true })])
  tags                     = var.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture
  }
  volume {
    name = "config"
  }
}

resource "aws_ecs_service" "this" {
  name            = var.name
  cluster         = var.cluster_arn
  task_definition = aws_ecs_task_definition.this.arn
  desired_count   = var.desired_count
  launch_type     = "FARGATE"
  propagate_tags  = "SERVICE"
  tags            = var.tags

  # new workers are there before old ones give their leases back
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }
  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.this.id]
    assign_public_ip = false
  }
  dynamic "service_registries" {
    for_each = var.service_registry_arn == null ? [] : [var.service_registry_arn]
    content {
      registry_arn = service_registries.value
    }
  }
  lifecycle {
    ignore_changes = [desired_count] # the scaling's own
  }
  depends_on = [aws_iam_role_policy.task, aws_iam_role_policy_attachment.execution]
}
