# The two zips that `make bundle` builds, uploaded under the hash of their content.

locals {
  bundles = {
    for function in keys(local.functions) : function => "${path.module}/${var.bundle_dir}/${function}.zip"
  }

  # From a resource, whose attributes stay known: a data source would be unknown in a plan that adds an API.
  project_number = google_storage_bucket.bundles.project_number
}

resource "google_storage_bucket" "bundles" {
  #checkov:skip=CKV_GCP_62:Readable by the build alone; Cloud Audit Logs record who changes it.
  #checkov:skip=CKV_GCP_78:An object is named by its hash and never overwritten.
  name                        = "${var.project_id}-${var.name}-bundles"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true # every object can be built again, byte for byte
  depends_on                  = [time_sleep.apis]
}

resource "google_storage_bucket_object" "bundle" {
  for_each = local.bundles

  bucket = google_storage_bucket.bundles.name
  name   = "${each.key}-${substr(try(filesha256(each.value), "missing"), 0, 16)}.zip"
  source = each.value
}

# A plan is worth reading without the bundles; an apply stops at their upload.
check "bundles_are_built" {
  assert {
    condition     = alltrue([for path in local.bundles : fileexists(path)])
    error_message = "graphql.zip or worker.zip is missing in ${var.bundle_dir}: run `make bundle` first."
  }
}
