# The two functions, from one map: the map holds what differs between them, the resource below what does not.

# Of an instance's memory the process takes 110 MiB, and a call with sketch and picture of 1 MB at most 3.65: 2.7 were
# measured when all are answered at once (docs/performance.md), and the rest is for larger pictures.

locals {
  functions = {
    graphql = {
      description = "Answers improveSketch and its status."
      # Who came around the load balancer would be known by an address that it wrote itself.
      ingress_settings = try(tonumber(var.settings.TRUSTED_PROXIES) > 1, false) ? "ALLOW_INTERNAL_AND_GCLB" : "ALLOW_ALL"
      timeout_s        = 600 # streams of updates reconnect after it
      max_in_flight    = min(1000, floor((var.graphql.memory_mb - 110) / 3.65))
      size             = var.graphql
    }
    worker = {
      description      = "Takes one job from Pub/Sub and redraws its sketch."
      ingress_settings = "ALLOW_INTERNAL_ONLY" # Pub/Sub of this project counts as internal
      timeout_s        = 240                   # a delivery has 180 s, and some more to settle its job
      max_in_flight    = min(1000, floor((var.worker.memory_mb - 110) / 3.65))
      size             = var.worker
    }
  }

  # Each name here, in local.secrets and in the keys that var.settings allows is a field of rubydraw/settings.py or
  # graphql_settings.py, and each field is one of them: tests/infra compares. Defaults live in the code.
  environment = merge(
    {
      CONCURRENT_JOBS         = var.limits.concurrent_jobs
      DAILY_CALLS             = var.budget.daily_calls
      DAILY_DOLLARS           = var.budget.daily_dollars
      DEAD_LETTER_TOPIC       = google_pubsub_topic.dead_letters.id
      GEMINI_LOCATION         = var.gemini.location
      GEMINI_MODE             = var.gemini.mode
      GEMINI_PROJECT          = var.project_id
      PRINCIPAL_DAILY_CALLS   = var.budget.principal_daily_calls
      PRINCIPAL_DAILY_DOLLARS = var.budget.principal_daily_dollars
      REDIS_CA_CERT           = local.redis_ca_cert
      REQUESTS_PER_MINUTE     = var.limits.requests_per_minute
    },
    var.archive == null ? {} : { ARCHIVE_URL = "gs://${google_storage_bucket.archive[0].name}" },
    var.background_enabled ? { PUBSUB_TOPIC = google_pubsub_topic.jobs.id } : {},
    var.cache_enabled ? {} : { CACHE_REDIS_URL = "redis://127.0.0.1:1/0" }, # nobody listens there
    var.access.mode == "off" ? { ACCESS = "off" } : {},
    var.access.jwt == null ? {} : {
      JWT_AUDIENCE = var.access.jwt.audience
      JWT_ISSUER   = var.access.jwt.issuer
      JWT_JWKS_URL = var.access.jwt.jwks_url
    },
    length(var.cors_origins) == 0 ? {} : { CORS_ORIGINS = join(",", var.cors_origins) },
    var.settings,
  )

  # For glibc, not for us: it keeps up to 16 MiB of what was freed, so that the next picture need not fault it in again.
  # A cached drawing with its picture takes a sixth less CPU, an instance some 3 MiB more. One without the other is slow.
  allocator = {
    MALLOC_MMAP_THRESHOLD_ = 16777216
    MALLOC_TRIM_THRESHOLD_ = 16777216
  }
}

resource "google_service_account" "function" {
  for_each = local.functions

  account_id   = "${var.name}-${each.key}"
  display_name = "Runs the function ${each.key} of ${var.name}"
  depends_on   = [time_sleep.apis]
}

# Start-up CPU boost is left as the platform has it: this resource has no argument for it.
resource "google_cloudfunctions2_function" "this" {
  #checkov:skip=CKV_GCP_124:The GraphQL endpoint is called by browsers; the worker's ingress is internal, and a postcondition keeps it so.
  for_each = local.functions

  name        = "${var.name}-${each.key}"
  location    = var.region
  description = each.value.description

  build_config {
    runtime           = "python313"
    entry_point       = each.key
    service_account   = google_service_account.build.id
    docker_repository = google_artifact_registry_repository.images.id

    source {
      storage_source {
        bucket = google_storage_bucket.bundles.name
        object = google_storage_bucket_object.bundle[each.key].name
      }
    }
  }

  service_config {
    available_cpu                    = tostring(each.value.size.cpu)
    available_memory                 = "${each.value.size.memory_mb}Mi"
    direct_vpc_egress                = "VPC_EGRESS_PRIVATE_RANGES_ONLY" # Gemini is reached directly
    environment_variables            = merge(local.allocator, { MAX_IN_FLIGHT = each.value.max_in_flight }, local.environment)
    ingress_settings                 = each.value.ingress_settings
    max_instance_count               = each.value.size.max_instances
    max_instance_request_concurrency = each.value.size.concurrency
    min_instance_count               = each.value.size.min_instances
    service_account_email            = google_service_account.function[each.key].email
    timeout_seconds                  = each.value.timeout_s

    direct_vpc_network_interface {
      network    = google_compute_network.this.id
      subnetwork = google_compute_subnetwork.functions.id
      tags       = [local.network_tag]
    }

    dynamic "secret_environment_variables" {
      for_each = { for setting in local.secrets_of[each.key] : setting => local.secrets[setting] }
      content {
        key        = secret_environment_variables.key
        project_id = var.project_id
        secret     = google_secret_manager_secret.this[secret_environment_variables.key].secret_id
        version    = local.secret_versions[secret_environment_variables.key]
      }
    }
  }

  lifecycle {
    postcondition {
      condition     = each.key == "graphql" || self.service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY"
      error_message = "The worker's ingress must be ALLOW_INTERNAL_ONLY, because the worker spends money on each message that it is sent."
    }
  }

  # What an instance needs before it can start: its secrets readable, its image built.
  depends_on = [
    google_artifact_registry_repository_iam_member.build_writer,
    google_project_iam_member.build_logs,
    google_project_iam_member.build_source_reader,
    google_secret_manager_secret_iam_member.reader,
    google_storage_bucket_iam_member.archive_keeper,
    google_storage_bucket_iam_member.build_reader,
  ]
}
