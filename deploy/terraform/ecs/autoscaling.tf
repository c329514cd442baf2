# By CPU, since a worker is one thread. More workers than the tables have open shards are idle.
resource "aws_appautoscaling_target" "workers" {
  count              = var.autoscaling_max == null ? 0 : 1
  service_namespace  = "ecs"
  resource_id        = "service/${reverse(split("/", var.cluster_arn))[0]}/${aws_ecs_service.this.name}"
  scalable_dimension = "ecs:service:DesiredCount"
  min_capacity       = var.desired_count
  max_capacity       = var.autoscaling_max
}

resource "aws_appautoscaling_policy" "cpu" {
  count              = var.autoscaling_max == null ? 0 : 1
  name               = "${var.name}-cpu"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.workers[0].service_namespace
  resource_id        = aws_appautoscaling_target.workers[0].resource_id
  scalable_dimension = aws_appautoscaling_target.workers[0].scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value       = 70
    scale_out_cooldown = 60
    scale_in_cooldown  = 600 # every change of the number moves shards
    predefined_metric_specification {
      predefined_metric_type = "ECSServiceAverageCPUUtilization"
    }
  }
}
