# Who may call what. Every grant is on one resource, except where Google Cloud offers the project alone.

resource "google_cloud_run_v2_service_iam_member" "graphql_invoker" {
  for_each = var.graphql_invokers

  name     = google_cloudfunctions2_function.this["graphql"].name
  location = var.region
  role     = "roles/run.invoker"
  member   = each.key
}

resource "google_cloud_run_v2_service_iam_member" "worker_invoker" {
  name     = google_cloudfunctions2_function.this["worker"].name
  location = var.region
  role     = "roles/run.invoker"
  member   = google_service_account.push.member

  lifecycle {
    postcondition {
      condition     = !contains(["allUsers", "allAuthenticatedUsers"], self.member)
      error_message = "Only the push account may call the worker, because the worker spends money on each message that it is sent."
    }
  }
}

# A model is not a resource of the project, so this grant is on the project; the role holds the one permission needed.
resource "google_project_iam_custom_role" "gemini_caller" {
  count = var.gemini.mode == "vertex" ? 1 : 0

  role_id     = "${replace(var.name, "-", "_")}_gemini_caller"
  title       = "Caller of Gemini for ${var.name}"
  permissions = ["aiplatform.endpoints.predict"]
  depends_on  = [time_sleep.apis]
}

resource "google_project_iam_member" "gemini_caller" {
  for_each = var.gemini.mode == "vertex" ? local.functions : {}

  project = var.project_id
  role    = google_project_iam_custom_role.gemini_caller[0].id
  member  = google_service_account.function[each.key].member
}
