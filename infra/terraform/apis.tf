# The Google Cloud services that everything else needs.

locals {
  apis = concat(
    [
      "artifactregistry.googleapis.com",
      "cloudbuild.googleapis.com",
      "cloudfunctions.googleapis.com",
      "cloudresourcemanager.googleapis.com",
      "compute.googleapis.com",
      "iam.googleapis.com",
      "pubsub.googleapis.com",
      "redis.googleapis.com",
      "run.googleapis.com",
      "secretmanager.googleapis.com",
      "storage.googleapis.com",
    ],
    var.gemini.mode == "api" ? [] : ["aiplatform.googleapis.com"],
    length(var.alert_emails) == 0 ? [] : ["logging.googleapis.com", "monitoring.googleapis.com"],
  )
}

resource "google_project_service" "this" {
  for_each = toset(local.apis)

  service            = each.key
  disable_on_destroy = false # something else in the project may use it
}

# A service counts as enabled some seconds before each of its front ends knows it.
resource "time_sleep" "apis" {
  create_duration = "60s"
  triggers        = { for api, service in google_project_service.this : api => service.service }
}
