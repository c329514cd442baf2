output "service_name" {
  description = "The service."
  value       = aws_ecs_service.this.name
}

output "task_definition_arn" {
  description = "For commands by `aws ecs run-task`."
  value       = aws_ecs_task_definition.this.arn
}

output "task_role_arn" {
  description = "As whom the process calls AWS: what other accounts' roles trust, and keys allow."
  value       = aws_iam_role.task.arn
}

output "security_group_id" {
  description = "The workers' security group."
  value       = aws_security_group.this.id
}

output "log_group_name" {
  description = "Where the workers' logs are."
  value       = aws_cloudwatch_log_group.this.name
}
