# One table of orders into RDS, by tokens of IAM.

provider "aws" {
  region = "eu-west-1"
}

variable "image" {
  type = string
}

variable "cluster_arn" {
  type = string
}

variable "vpc_id" {
  type = string
}

variable "subnet_ids" {
  type = list(string)
}

variable "database" {
  description = "The RDS instance: its address, DbiResourceId and security group, and a secret with the owner's DSN."
  type        = object({ address = string, resource_id = string, security_group_id = string, owner_dsn_secret_arn = string })
}

variable "ca_file" {
  description = "The bundle of the region, as RDS publishes it."
  type        = string
}

module "replicator" {
  source = "../"

  name          = "replicator-shop"
  image         = var.image
  source_tables = ["orders"]
  config = {
    deployment = "shop-prod"
    target = {
      dsn       = "postgresql://replicator@${var.database.address}:5432/app?sslmode=verify-full"
      iam_auth  = true
      pool_size = 4
    }
    tables = {
      orders = {
        initial_load = "stream"
        into = {
          "public.orders" = {
            key     = { order_id = { from = "pk" } }
            columns = { total = "numeric(12,2)" }
            rest    = "extra"
          }
        }
      }
    }
  }

  cluster_arn                = var.cluster_arn
  vpc_id                     = var.vpc_id
  subnet_ids                 = var.subnet_ids
  database_security_group_id = var.database.security_group_id
  database_ca_pem            = file(var.ca_file)
  rds_iam                    = { resource_id = var.database.resource_id, user = "replicator" }
  migrate_dsn_secret_arn     = var.database.owner_dsn_secret_arn
  autoscaling_max            = 4
}

output "service" {
  value = module.replicator.service_name
}
