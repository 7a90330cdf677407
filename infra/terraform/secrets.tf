# What the functions may know and the Terraform state may not: write-only arguments never reach the state.

locals {
  # A setting of the functions, and the end of its secret's name.
  secrets = merge(
    { REDIS_URL = "redis-url" },
    var.results_redis == null ? {} : { CACHE_REDIS_URL = "cache-redis-url" },
    var.gemini.mode == "vertex" ? {} : { GEMINI_API_KEY = "gemini-api-key" },
    var.access.mode == "off" ? {} : { API_KEYS = "api-keys", IMAGE_SIGNING_KEY = "image-signing-key" },
  )

  # The worker is called by Pub/Sub alone, which Google's IAM lets in.
  secrets_of = { graphql = keys(local.secrets), worker = setsubtract(keys(local.secrets), ["API_KEYS", "IMAGE_SIGNING_KEY"]) }

  # A setting, and the instance whose address it holds.
  redis_settings = merge({ REDIS_URL = "state" }, var.results_redis == null ? {} : { CACHE_REDIS_URL = "results" })

  secret_versions = merge(
    { for setting, version in google_secret_manager_secret_version.redis_url : setting => version.version },
    { for version in google_secret_manager_secret_version.gemini_api_key : "GEMINI_API_KEY" => var.gemini.api_key_version },
    { for version in google_secret_manager_secret_version.api_keys : "API_KEYS" => var.access.api_keys_version },
    { for version in google_secret_manager_secret_version.image_signing_key : "IMAGE_SIGNING_KEY" => "latest" },
  )
}

resource "google_secret_manager_secret" "this" {
  for_each = local.secrets

  secret_id           = "${var.name}-${each.value}"
  deletion_protection = var.deletion_protection

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }

  depends_on = [time_sleep.apis]
}

# Redis' password is in the state all the same, as an attribute of the instance: the provider gives no choice.
resource "google_secret_manager_secret_version" "redis_url" {
  for_each = local.redis_settings

  secret                 = google_secret_manager_secret.this[each.key].id
  secret_data_wo         = local.redis_urls[each.value]
  secret_data_wo_version = nonsensitive(sha256(local.redis_urls[each.value]))
  deletion_policy        = "ABANDON" # instances of the old revision still start while a new one is made
}

# Written once, when the secret is made. Later keys are added with gcloud and chosen by gemini.api_key_version.
resource "google_secret_manager_secret_version" "gemini_api_key" {
  count = var.gemini.mode == "vertex" ? 0 : 1

  secret                 = google_secret_manager_secret.this["GEMINI_API_KEY"].id
  secret_data_wo         = coalesce(var.gemini_api_key, "not-set")
  secret_data_wo_version = "1"

  lifecycle {
    ignore_changes = [enabled] # an operator disables it after a rotation
  }
}

# Written once, as above. An empty list lets nobody in.
resource "google_secret_manager_secret_version" "api_keys" {
  count = var.access.mode == "off" ? 0 : 1

  secret                 = google_secret_manager_secret.this["API_KEYS"].id
  secret_data_wo         = coalesce(var.api_keys, "[]")
  secret_data_wo_version = "1"

  lifecycle {
    ignore_changes = [enabled]
  }
}

# Made up once, by whoever applies, and known to the functions alone. A new one invalidates picture addresses at once.
resource "google_secret_manager_secret_version" "image_signing_key" {
  count = var.access.mode == "off" ? 0 : 1

  secret                 = google_secret_manager_secret.this["IMAGE_SIGNING_KEY"].id
  secret_data_wo         = "${uuid()}${uuid()}" # 244 random bits; new ones each time, but only the first are written
  secret_data_wo_version = "1"

  lifecycle {
    ignore_changes = [enabled] # an operator disables it after a rotation
  }
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each = merge([
    for function, settings in local.secrets_of :
    { for setting in settings : "${function}/${setting}" => { function = function, setting = setting } }
  ]...)

  secret_id = google_secret_manager_secret.this[each.value.setting].id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.function[each.value.function].member
}
