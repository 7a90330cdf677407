# What the variables change: a second Redis, Vertex, switches, and what they refuse.

mock_provider "time" {}

mock_provider "google" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  bundle_dir = "tests/bundles"
  project_id = "demo-project"
  region     = "europe-west4"
}

run "results_in_a_redis_of_their_own" {
  command = plan

  variables {
    redis         = { high_availability = true }
    results_redis = { memory_gb = 10 }
  }

  assert {
    condition     = { for key, redis in google_redis_instance.this : key => redis.redis_configs["maxmemory-policy"] } == { results = "allkeys-lru", state = "noeviction" }
    error_message = "Results may all be evicted, state never."
  }
  assert {
    condition     = { for key, redis in google_redis_instance.this : key => redis.tier } == { results = "BASIC", state = "STANDARD_HA" }
    error_message = "Each has a tier of its own."
  }
  assert {
    condition     = alltrue([for redis in google_redis_instance.this : redis.auth_enabled && redis.transit_encryption_mode == "SERVER_AUTHENTICATION"])
    error_message = "Both ask for a password and speak TLS."
  }
  assert {
    condition     = [for s in google_cloudfunctions2_function.this["graphql"].service_config[0].secret_environment_variables : s.key] == ["API_KEYS", "CACHE_REDIS_URL", "GEMINI_API_KEY", "IMAGE_SIGNING_KEY", "REDIS_URL"]
    error_message = "The second address is a secret too."
  }
  assert {
    condition     = google_cloudfunctions2_function.this["worker"].service_config[0].environment_variables["REDIS_CA_CERT"] == "CERTIFICATE\nCERTIFICATE"
    error_message = "The functions trust the authorities of both."
  }
}

run "vertex_has_no_key_at_all" {
  command = plan

  variables {
    gemini = { location = "europe-west4", mode = "vertex" }
  }

  assert {
    condition     = keys(google_secret_manager_secret.this) == ["API_KEYS", "IMAGE_SIGNING_KEY", "REDIS_URL"] && length(google_secret_manager_secret_version.gemini_api_key) == 0
    error_message = "There is no secret for a key of Gemini's."
  }
  assert {
    condition     = google_cloudfunctions2_function.this["worker"].service_config[0].environment_variables["GEMINI_MODE"] == "vertex" && google_cloudfunctions2_function.this["worker"].service_config[0].environment_variables["GEMINI_LOCATION"] == "europe-west4"
    error_message = "The functions are told so."
  }
  assert {
    condition     = keys(google_project_iam_member.gemini_caller) == ["graphql", "worker"] && google_project_iam_custom_role.gemini_caller[0].permissions == toset(["aiplatform.endpoints.predict"])
    error_message = "Their accounts may ask a model, and nothing else of Vertex."
  }
  assert {
    condition     = contains(keys(google_project_service.this), "aiplatform.googleapis.com")
    error_message = "The service is switched on."
  }
}

run "a_first_key_is_not_in_the_plan" {
  command = plan

  variables {
    api_keys       = "[{\"name\":\"canary\",\"sha256\":\"${sha256("canary")}\"}]"
    gemini_api_key = "canary-key"
  }

  assert {
    condition     = google_secret_manager_secret_version.gemini_api_key[0].secret_data_wo == null && google_secret_manager_secret_version.api_keys[0].secret_data_wo == null
    error_message = "The keys go to Secret Manager and are forgotten."
  }
}

run "a_key_is_chosen_by_its_version" {
  command = plan

  variables {
    access = { api_keys_version = "3" }
    gemini = { api_key_version = "2" }
  }

  assert {
    condition     = { for s in google_cloudfunctions2_function.this["graphql"].service_config[0].secret_environment_variables : s.key => s.version }["API_KEYS"] == "3"
    error_message = "The callers' keys have a version of their own."
  }

  assert {
    condition     = { for s in google_cloudfunctions2_function.this["worker"].service_config[0].secret_environment_variables : s.key => s.version }["GEMINI_API_KEY"] == "2"
    error_message = "The functions read the version that is named."
  }
}

run "background_off_takes_no_new_jobs_and_finishes_the_old" {
  command = plan

  variables {
    background_enabled = false
  }

  assert {
    condition     = !contains(keys(google_cloudfunctions2_function.this["graphql"].service_config[0].environment_variables), "PUBSUB_TOPIC")
    error_message = "Without a topic, async requests are refused."
  }
  assert {
    condition     = google_pubsub_subscription.jobs.push_config[0].push_endpoint == "https://worker.run.app"
    error_message = "What is queued is still delivered."
  }
}

run "cache_off_points_at_no_redis" {
  command = plan

  variables {
    background_enabled = false
    cache_enabled      = false
  }

  assert {
    condition     = google_cloudfunctions2_function.this["graphql"].service_config[0].environment_variables["CACHE_REDIS_URL"] == "redis://127.0.0.1:1/0"
    error_message = "Nobody listens where results would be kept."
  }
}

run "cache_off_wakes_nobody_about_drawings_that_are_not_kept" {
  command = plan

  variables {
    alert_emails       = ["team@example.com"]
    background_enabled = false
    cache_enabled      = false
  }

  assert {
    condition     = !strcontains(google_monitoring_alert_policy.event["redis"].conditions[0].condition_matched_log[0].filter, "\"result")
    error_message = "Each drawing logs that it was not saved, and each instance that the cache is lost, and that is meant."
  }
}

run "cache_off_needs_background_off" {
  command = plan

  variables {
    cache_enabled = false
  }

  expect_failures = [var.cache_enabled]
}

run "ceilings_reach_both_functions" {
  command = plan

  variables {
    budget = { daily_calls = 1000, daily_dollars = 0.5, principal_daily_calls = "unlimited" }
    limits = { requests_per_minute = 6 }
  }

  assert {
    condition = alltrue([for f in google_cloudfunctions2_function.this : {
      for k, v in f.service_config[0].environment_variables : k => v if can(regex("DAILY|REQUESTS|JOBS", k))
      } == {
      CONCURRENT_JOBS         = "20"
      DAILY_CALLS             = "1000"
      DAILY_DOLLARS           = "0.5"
      PRINCIPAL_DAILY_CALLS   = "unlimited"
      PRINCIPAL_DAILY_DOLLARS = "10"
      REQUESTS_PER_MINUTE     = "6"
    }])
    error_message = "What is not said stays at its default."
  }
}

run "settings_reach_both_functions" {
  command = plan

  variables {
    cors_origins = ["https://draw.example", "http://localhost:5173"]
    settings     = { LOG_LEVEL = "DEBUG" }
  }

  assert {
    condition     = alltrue([for f in google_cloudfunctions2_function.this : f.service_config[0].environment_variables["LOG_LEVEL"] == "DEBUG" && f.service_config[0].environment_variables["CORS_ORIGINS"] == "https://draw.example,http://localhost:5173"])
    error_message = "Both see the same settings."
  }
}

run "nobody_comes_around_the_load_balancer" {
  command = plan

  variables {
    settings = { TRUSTED_PROXIES = "2" }
  }

  assert {
    condition     = { for k, f in google_cloudfunctions2_function.this : k => f.service_config[0].ingress_settings } == { graphql = "ALLOW_INTERNAL_AND_GCLB", worker = "ALLOW_INTERNAL_ONLY" }
    error_message = "The GraphQL function's own address is closed."
  }
}

run "one_proxy_is_google_s_own_front_end" {
  command = plan

  variables {
    settings = { TRUSTED_PROXIES = "1" }
  }

  assert {
    condition     = google_cloudfunctions2_function.this["graphql"].service_config[0].ingress_settings == "ALLOW_ALL"
    error_message = "It is reached by its own address."
  }
}

run "secrets_are_no_settings" {
  command = plan

  variables {
    settings = { GEMINI_API_KEY = "in plain sight" }
  }

  expect_failures = [var.settings]
}

run "no_archive_by_default" {
  command = plan

  assert {
    condition     = length(google_storage_bucket.archive) == 0 && length(google_storage_bucket_iam_member.archive_keeper) == 0 && !contains(keys(google_cloudfunctions2_function.this["worker"].service_config[0].environment_variables), "ARCHIVE_URL")
    error_message = "Nothing is kept, and nobody is granted anything."
  }
}

run "archive_is_private_and_kept_for_ever" {
  command = plan

  variables {
    archive = {}
  }

  assert {
    condition     = alltrue([for f in google_cloudfunctions2_function.this : f.service_config[0].environment_variables["ARCHIVE_URL"] == "gs://demo-project-improve-sketch-archive"])
    error_message = "Both functions keep drawings in the bucket."
  }
  assert {
    condition     = google_storage_bucket.archive[0].uniform_bucket_level_access && google_storage_bucket.archive[0].public_access_prevention == "enforced" && !google_storage_bucket.archive[0].force_destroy
    error_message = "Nobody can make an object public, or the bucket vanish with what is in it."
  }
  assert {
    condition     = length(google_storage_bucket.archive[0].lifecycle_rule) == 0
    error_message = "Without keep_days nothing is deleted."
  }
  assert {
    condition     = { for function, grant in google_storage_bucket_iam_member.archive_keeper : function => grant.member } == { graphql = "serviceAccount:graphql@x.iam", worker = "serviceAccount:worker@x.iam" }
    error_message = "The two functions, and nobody else."
  }
  assert {
    condition     = google_project_iam_custom_role.archive_keeper[0].permissions == toset(["storage.objects.create", "storage.objects.delete", "storage.objects.get", "storage.objects.list"])
    error_message = "They may read, write and replace objects, and nothing else."
  }
}

run "archive_forgets_after_so_many_days" {
  command = plan

  variables {
    archive             = { keep_days = 30 }
    deletion_protection = false
  }

  assert {
    condition     = tolist(google_storage_bucket.archive[0].lifecycle_rule[0].condition)[0].age == 30 && tolist(google_storage_bucket.archive[0].lifecycle_rule[0].action)[0].type == "Delete"
    error_message = "A drawing is deleted after thirty days."
  }
  assert {
    condition     = google_storage_bucket.archive[0].force_destroy
    error_message = "Without deletion protection it goes with the rest."
  }
}

run "archive_needs_the_cache" {
  command = plan

  variables {
    archive            = {}
    background_enabled = false
    cache_enabled      = false
  }

  expect_failures = [var.archive]
}

run "addresses_of_pictures_are_signed_where_access_is_required" {
  command = plan

  assert {
    condition     = contains([for s in google_cloudfunctions2_function.this["graphql"].service_config[0].secret_environment_variables : s.key], "IMAGE_SIGNING_KEY") && !contains([for s in google_cloudfunctions2_function.this["worker"].service_config[0].secret_environment_variables : s.key], "IMAGE_SIGNING_KEY")
    error_message = "The function that signs is given the key, and no other."
  }
  assert {
    condition     = google_secret_manager_secret_version.image_signing_key[0].secret_data_wo == null
    error_message = "The key goes to Secret Manager and is forgotten."
  }
}

run "memory_bounds_the_calls_in_flight" {
  command = plan

  variables {
    graphql  = { memory_mb = 512 }
    worker   = { cpu = 8, memory_mb = 32768 }
    settings = {}
  }

  assert {
    condition     = { for key, f in google_cloudfunctions2_function.this : key => f.service_config[0].environment_variables.MAX_IN_FLIGHT } == { graphql = "110", worker = "1000" }
    error_message = "An instance takes as many calls as fit into its memory, and at most a thousand."
  }
}

run "operators_are_woken_where_they_say_how" {
  command = plan

  variables {
    alert_emails = ["one@example.com", "two@example.com"]
  }

  assert {
    condition     = [for channel in google_monitoring_notification_channel.email : channel.labels["email_address"]] == ["one@example.com", "two@example.com"]
    error_message = "Each address is written to."
  }
  assert {
    condition     = keys(google_monitoring_alert_policy.event) == ["budget", "errors", "misconfigured", "publish", "redis"] && length(google_monitoring_alert_policy.waiting_jobs) == 1
    error_message = "About each kind of event, and about jobs that wait."
  }
  assert {
    condition     = alltrue([for policy in google_monitoring_alert_policy.event : startswith(policy.conditions[0].condition_matched_log[0].filter, "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=(\"improve-sketch-graphql\" OR \"improve-sketch-worker\") AND ")])
    error_message = "Only what the two functions log counts."
  }
  assert {
    condition     = endswith(google_monitoring_alert_policy.event["errors"].conditions[0].condition_matched_log[0].filter, " AND severity>=ERROR AND NOT logName:\"run.googleapis.com%2Frequests\"")
    error_message = "A 503 by which the worker asks for redelivery is no error."
  }
  assert {
    condition     = endswith(google_monitoring_alert_policy.event["redis"].conditions[0].condition_matched_log[0].filter, " AND jsonPayload.message=(\"gemini.asked_without_redis\" OR \"job.not_recorded\" OR \"redis.lost\" OR \"result.not_saved\" OR \"results.lost\")")
    error_message = "Whatever tells of a Redis that is away wakes somebody."
  }
}

run "alerts_need_what_they_are_about_to_be_logged" {
  command = plan

  variables {
    alert_emails = ["team@example.com"]
    settings     = { LOG_LEVEL = "ERROR" }
  }

  expect_failures = [var.settings]
}
