# Where drawings are kept after Redis has forgotten them. Off by default.

resource "google_storage_bucket" "archive" {
  #checkov:skip=CKV_GCP_62:Read and written by the two functions alone; Cloud Audit Logs record who changes it.
  #checkov:skip=CKV_GCP_78:A drawing is replaced only when somebody asked for another one in its place.
  count = var.archive == null ? 0 : 1

  name                        = "${var.project_id}-${var.name}-archive"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.deletion_protection # every object has cost a call

  dynamic "lifecycle_rule" {
    for_each = var.archive.keep_days == 0 ? [] : [var.archive.keep_days]
    content {
      action {
        type = "Delete"
      }
      condition {
        age = lifecycle_rule.value
      }
    }
  }

  depends_on = [time_sleep.apis]
}

# Replacing an object needs the permission to delete it; without list, a missing object reads as forbidden.
resource "google_project_iam_custom_role" "archive_keeper" {
  count = var.archive == null ? 0 : 1

  role_id     = "${replace(var.name, "-", "_")}_archive_keeper"
  title       = "Keeper of the archive of ${var.name}"
  permissions = ["storage.objects.create", "storage.objects.delete", "storage.objects.get", "storage.objects.list"]
  depends_on  = [time_sleep.apis]
}

resource "google_storage_bucket_iam_member" "archive_keeper" {
  for_each = var.archive == null ? {} : local.functions

  bucket = google_storage_bucket.archive[0].name
  role   = google_project_iam_custom_role.archive_keeper[0].id
  member = google_service_account.function[each.key].member
}
