# Which events alert an operator, and at which addresses. docs/operations.md says what to do about each event.

locals {
  # Cloud Run's own log is left out: it has each 503 as an ERROR, and the worker answers 503 to ask for redelivery.
  alerts = {
    budget        = "jsonPayload.message=\"budget.exceeded\" AND jsonPayload.of=\"all\""
    errors        = "severity>=ERROR AND NOT logName:\"run.googleapis.com%2Frequests\""
    misconfigured = "jsonPayload.message=\"gemini.failed\" AND jsonPayload.code=\"MISCONFIGURED\""
    publish       = "jsonPayload.message=\"publish.failed\""
    redis         = "jsonPayload.message=(${join(" OR ", [for event in local.redis_events : "\"${event}\""])})"
  }

  # Without a cache every instance logs results.lost, and every drawing result.not_saved.
  redis_events = concat(["gemini.asked_without_redis", "job.not_recorded", "redis.lost"], var.cache_enabled ? ["result.not_saved", "results.lost"] : [])

  is_ours = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=(${join(" OR ", [for name, _ in local.functions : "\"${var.name}-${name}\""])})"
}

resource "google_monitoring_notification_channel" "email" {
  for_each = toset(var.alert_emails)

  display_name = "${var.name}: ${each.key}"
  type         = "email"
  labels       = { email_address = each.key }
  depends_on   = [time_sleep.apis]
}

resource "google_monitoring_alert_policy" "event" {
  for_each = length(var.alert_emails) == 0 ? {} : local.alerts

  display_name          = "${var.name}: ${each.key}"
  combiner              = "OR"
  notification_channels = values(google_monitoring_notification_channel.email)[*].id

  conditions {
    display_name = each.key

    condition_matched_log {
      filter = "${local.is_ours} AND ${each.value}"
    }
  }

  alert_strategy {
    auto_close = "86400s"

    notification_rate_limit {
      period = "3600s" # an outage writes such lines by the second
    }
  }

  documentation {
    content = "The field `message` of the log line names the event; docs/operations.md says what it means and what to do."
  }
}

# Jobs that nobody takes write no log line, for example if the worker does not start.
resource "google_monitoring_alert_policy" "waiting_jobs" {
  count = length(var.alert_emails) == 0 ? 0 : 1

  display_name          = "${var.name}: waiting jobs"
  combiner              = "OR"
  notification_channels = values(google_monitoring_notification_channel.email)[*].id

  conditions {
    display_name = "oldest job"

    condition_threshold {
      filter          = "metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\" AND resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${google_pubsub_subscription.jobs.name}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 900 # seconds
      duration        = "300s"

      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  alert_strategy {
    auto_close = "86400s"
  }

  documentation {
    content = "Jobs expire after an hour. Check whether the worker starts, Redis answers, and Gemini is overloaded: docs/operations.md."
  }
}
