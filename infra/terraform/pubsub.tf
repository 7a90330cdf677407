# The path of a job: topic, push subscription, worker; and the topic of the jobs that were given up.

locals {
  # Pub/Sub's own account, which pushes with our token and forwards dead letters.
  pubsub_agent = "serviceAccount:service-${local.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_pubsub_topic" "jobs" {
  #checkov:skip=CKV_GCP_83:Sketches are encrypted at rest by Google's keys and gone after seven days.
  name       = "${var.name}-jobs"
  depends_on = [time_sleep.apis]

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }
}

resource "google_pubsub_topic" "dead_letters" {
  #checkov:skip=CKV_GCP_83:Sketches are encrypted at rest by Google's keys and gone after fourteen days.
  name       = "${var.name}-dead-letters"
  depends_on = [time_sleep.apis]

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }
}

resource "google_service_account" "push" {
  account_id   = "${var.name}-push"
  display_name = "Pushes jobs of ${var.name} to the worker"
  depends_on   = [time_sleep.apis]
}

resource "google_pubsub_subscription" "jobs" {
  name                       = "${var.name}-jobs"
  topic                      = google_pubsub_topic.jobs.id
  ack_deadline_seconds       = 300       # longer than the worker's time-out, so no delivery overlaps another
  message_retention_duration = "604800s" # seven days; a job itself expires after one hour

  push_config {
    push_endpoint = google_cloudfunctions2_function.this["worker"].service_config[0].uri

    oidc_token {
      service_account_email = google_service_account.push.email
      audience              = google_cloudfunctions2_function.this["worker"].service_config[0].uri
    }
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  # The worker dead-letters what it gives up itself. This is for what never reaches it, such as an hour without Redis.
  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letters.id
    max_delivery_attempts = 20
  }

  expiration_policy {
    ttl = "" # never, however quiet it is
  }

  depends_on = [
    google_cloud_run_v2_service_iam_member.worker_invoker,
    google_service_account_iam_member.pubsub_agent_token_creator,
  ]
}

# Keeps the dead letters until an operator pulls them.
resource "google_pubsub_subscription" "dead_letters" {
  name                       = "${var.name}-dead-letters"
  topic                      = google_pubsub_topic.dead_letters.id
  ack_deadline_seconds       = 600
  message_retention_duration = "1209600s" # fourteen days

  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_topic_iam_member" "graphql_publisher" {
  topic  = google_pubsub_topic.jobs.id
  role   = "roles/pubsub.publisher"
  member = google_service_account.function["graphql"].member
}

resource "google_pubsub_topic_iam_member" "worker_dead_letterer" {
  topic  = google_pubsub_topic.dead_letters.id
  role   = "roles/pubsub.publisher"
  member = google_service_account.function["worker"].member
}

resource "google_pubsub_topic_iam_member" "pubsub_agent_dead_letterer" {
  topic  = google_pubsub_topic.dead_letters.id
  role   = "roles/pubsub.publisher"
  member = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "pubsub_agent_subscriber" {
  subscription = google_pubsub_subscription.jobs.id
  role         = "roles/pubsub.subscriber" # a forwarded message is acknowledged here
  member       = local.pubsub_agent
}

resource "google_service_account_iam_member" "pubsub_agent_token_creator" {
  service_account_id = google_service_account.push.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = local.pubsub_agent
  depends_on         = [google_pubsub_topic.jobs] # Pub/Sub's account exists once Pub/Sub has been used
}
