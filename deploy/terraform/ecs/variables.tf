variable "name" {
  description = "How everything here is called; more than one deployment may live in a cluster."
  type        = string
  default     = "replicator"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}$", var.name))
    error_message = "At most 31 lower-case letters, digits and hyphens."
  }
}

variable "image" {
  description = "The image, by its digest: registry/replicator@sha256:…"
  type        = string
}

variable "config" {
  description = "The configuration, as docs/configuration.md describes it; `deployment` and `tables` are required."
  type        = any
  validation {
    condition     = can(var.config.deployment) && can(keys(var.config.tables))
    error_message = "config.deployment and config.tables are required."
  }
}

variable "source_tables" {
  description = "Names of the DynamoDB tables that are read, in this account and region."
  type        = list(string)
}

variable "kinesis_streams" {
  description = "Names of the Kinesis streams that tables are read from in place of DynamoDB Streams, by the tables' names."
  type        = map(string)
  default     = {}
}

variable "snapshots" {
  description = "Whether items of the source tables may be read, for loading and comparing."
  type        = bool
  default     = true
}

variable "export_tables" {
  description = "Tables that may be loaded from exports to S3 by hand; those with `initial_load: export` or `on_gap: export` may anyway."
  type        = list(string)
  default     = []
}

variable "create_lease_table" {
  description = "Whether the lease table is made here; otherwise the first worker creates it."
  type        = bool
  default     = true
}

variable "cluster_arn" {
  description = "The ECS cluster."
  type        = string
}

variable "vpc_id" {
  description = "The VPC of the subnets."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets in two zones or more, with a way to DynamoDB and to the registry."
  type        = list(string)
}

variable "database_security_group_id" {
  description = "The database's security group; the workers may connect to it, and it lets them in."
  type        = string
}

variable "database_port" {
  description = "Where PostgreSQL listens."
  type        = number
  default     = 5432
}

variable "database_ca_pem" {
  description = "The authority that sslmode=verify-full trusts: the bundle of the region, for RDS."
  type        = string
  default     = ""
  validation {
    condition     = length(var.database_ca_pem) < 48000
    error_message = "ECS takes 64 KB of a task definition: give the bundle of the region, not that of all regions."
  }
}

variable "password_secret_arn" {
  description = "A secret with the password (target.password_secret), read again on each connect."
  type        = string
  default     = null
}

variable "rds_iam" {
  description = "For target.iam_auth: the DbiResourceId and the user of the database."
  type        = object({ resource_id = string, user = string })
  default     = null
}

variable "migrate" {
  description = "Whether every task migrates before it runs, which changes nothing most of the time."
  type        = bool
  default     = true
}

variable "migrate_dsn_secret_arn" {
  description = "A secret with a DSN that may run DDL (target.migrate_dsn); the workers never see it."
  type        = string
  default     = null
}

variable "hashing_salt_secret_arn" {
  description = "A secret with the salt of `personal: {…: hash}` (hashing.salt_file)."
  type        = string
  default     = null
}

variable "environment" {
  description = "More that AWS_*, PG* and REPLICATOR_* can say. No secrets."
  type        = map(string)
  default     = {}
}

variable "desired_count" {
  description = "Workers at first. Two survive the loss of one; more than there are open shards are idle."
  type        = number
  default     = 2
  validation {
    condition     = var.desired_count >= 1
    error_message = "What nobody reads for 24 hours is lost."
  }
}

variable "autoscaling_max" {
  description = "The most workers; null: no scaling. One worker at a time reads a shard."
  type        = number
  default     = null
}

variable "cpu" {
  description = "CPU units of a task; a worker is one thread, so more than 1024 is wasted."
  type        = number
  default     = 512
}

variable "memory" {
  description = "MiB of a task, see docs/operations/sizing.md."
  type        = number
  default     = 1024
}

variable "architecture" {
  description = "X86_64 or ARM64, as the image."
  type        = string
  default     = "X86_64"
}

variable "metrics_from" {
  description = "A security group that may read the pages and /metrics on port 8080."
  type        = string
  default     = null
}

variable "service_registry_arn" {
  description = "A Cloud Map service to register the tasks with, so that Prometheus finds them."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
  default     = 30
}

variable "kms_key_arn" {
  description = "A key for the logs and the lease table; null: AWS's own."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
}
