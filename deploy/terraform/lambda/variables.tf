variable "name" {
  description = "How the function and what belongs to it is called."
  type        = string
  default     = "replicator"
}

variable "package" {
  description = "The zip that `make lambda-zip CONFIG=replicator.yaml` built."
  type        = string
}

variable "architecture" {
  description = "What the zip was built for: x86_64 or arm64."
  type        = string
  default     = "arm64"
  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "It is x86_64 or arm64."
  }
}

variable "deployment" {
  description = "The deployment, as the configuration in the package says it."
  type        = string
}

variable "streams" {
  description = "The stream ARNs of the tables, by the names of their entries in the configuration: of DynamoDB Streams, or of Kinesis, which several tables may share."
  type        = map(string)
  validation {
    condition     = alltrue([for arn in values(var.streams) : can(regex("^arn:aws[a-z-]*:(dynamodb|kinesis):", arn))])
    error_message = "Each is the ARN of a stream of DynamoDB or of Kinesis."
  }
}

variable "environment" {
  description = "Variables for the function, such as REPLICATOR_TARGET__DSN. No secrets."
  type        = map(string)
  default     = {}
}

variable "password_secret_arn" {
  description = "The secret in Secrets Manager with the password, if there is one."
  type        = string
  default     = null
}

variable "database_user_arn" {
  description = "arn:aws:rds-db:REGION:ACCOUNT:dbuser:RESOURCE/USER, for tokens of RDS IAM."
  type        = string
  default     = null
}

variable "subnet_ids" {
  description = "Subnets from which PostgreSQL is reached."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Security groups of the function; PostgreSQL lets them in."
  type        = list(string)
}

variable "batch_size" {
  description = "Records of one invocation, at most."
  type        = number
  default     = 1000
}

variable "parallelization_factor" {
  description = "Batches of one shard at a time, 1 to 10; changes of one item stay in order."
  type        = number
  default     = 1
}

variable "reserved_concurrency" {
  description = "At most as many connections to PostgreSQL."
  type        = number
  default     = 20
}

variable "memory_megabytes" {
  description = "Memory, and with it CPU."
  type        = number
  default     = 1024
}

variable "timeout_seconds" {
  description = "What one invocation may take."
  type        = number
  default     = 60
}

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
  default     = 365
}

variable "log_key_arn" {
  description = "A key of KMS for the logs; null: the one of AWS."
  type        = string
  default     = null
}

variable "alarm_topic_arn" {
  description = "The topic of SNS that alarms go to."
  type        = string
}
