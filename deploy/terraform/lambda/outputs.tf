output "function_name" {
  description = "The function."
  value       = aws_lambda_function.this.function_name
}

output "role_arn" {
  description = "The function's role, for the policy of a key that encrypts a table."
  value       = aws_iam_role.this.arn
}

output "failures_bucket" {
  description = "Where batches go that Lambda gives up."
  value       = aws_s3_bucket.failures.id
}
