# A deployment that is given a project and a region, and nothing else. No cloud is reached.

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

run "a_job_is_delivered_as_designed" {
  command = plan

  assert {
    condition     = google_pubsub_subscription.jobs.push_config[0].push_endpoint == "https://worker.run.app"
    error_message = "Jobs are pushed to the worker."
  }
  assert {
    condition     = google_pubsub_subscription.jobs.push_config[0].oidc_token[0] == { audience = "https://worker.run.app", service_account_email = "push@x.iam" }
    error_message = "A push carries a token of the push account for the worker's address."
  }
  assert {
    condition     = google_pubsub_subscription.jobs.retry_policy[0] == { maximum_backoff = "600s", minimum_backoff = "10s" }
    error_message = "Redelivery backs off from 10 to 600 seconds."
  }
  assert {
    condition     = google_pubsub_subscription.jobs.ack_deadline_seconds == 300 && google_cloudfunctions2_function.this["worker"].service_config[0].timeout_seconds == 240
    error_message = "The ack deadline, 300 s, is longer than the worker's time-out, 240 s."
  }
  assert {
    condition     = google_pubsub_subscription.jobs.message_retention_duration == "604800s" && google_pubsub_subscription.jobs.expiration_policy[0].ttl == ""
    error_message = "Messages are kept for seven days, the subscription for ever."
  }
  assert {
    condition     = google_pubsub_subscription.jobs.dead_letter_policy[0] == { dead_letter_topic = "projects/demo-project/topics/dead-letters", max_delivery_attempts = 20 }
    error_message = "The twentieth failed delivery goes to the dead-letter topic."
  }
  assert {
    condition     = google_pubsub_subscription.dead_letters.topic == "projects/demo-project/topics/dead-letters" && google_pubsub_subscription.dead_letters.message_retention_duration == "1209600s" && google_pubsub_subscription.dead_letters.expiration_policy[0].ttl == "" && length(google_pubsub_subscription.dead_letters.push_config) == 0
    error_message = "Dead letters wait fourteen days to be pulled."
  }
}

run "redis_is_encrypted_and_evicts_results_before_jobs" {
  command = plan

  assert {
    condition     = keys(google_redis_instance.this) == ["state"]
    error_message = "One Redis holds everything."
  }
  assert {
    condition     = google_redis_instance.this["state"].auth_enabled && google_redis_instance.this["state"].transit_encryption_mode == "SERVER_AUTHENTICATION"
    error_message = "Redis asks for a password and speaks TLS."
  }
  assert {
    condition     = google_redis_instance.this["state"].redis_configs["maxmemory-policy"] == "volatile-lru"
    error_message = "One instance evicts by volatile-lru."
  }
  assert {
    condition     = google_redis_instance.this["state"].tier == "BASIC" && google_redis_instance.this["state"].deletion_protection
    error_message = "The default is one node, protected from deletion."
  }
  assert {
    condition     = google_compute_firewall.allow_redis.destination_ranges == toset(["10.0.0.3/32"]) && tolist(google_compute_firewall.allow_redis.allow)[0].ports == tolist(["6378"])
    error_message = "The functions' network opens to Redis' address and port."
  }
  assert {
    condition     = google_compute_firewall.deny_egress.priority > google_compute_firewall.allow_redis.priority && tolist(google_compute_firewall.deny_egress.deny)[0].protocol == "all"
    error_message = "The functions' network opens to nothing else."
  }
}

run "functions_are_what_the_design_says" {
  command = plan

  assert {
    condition     = alltrue([for f in google_cloudfunctions2_function.this : f.build_config[0].runtime == "python313"])
    error_message = "Both functions run on Python 3.13."
  }
  assert {
    condition     = { for k, f in google_cloudfunctions2_function.this : k => f.service_config[0].timeout_seconds } == { graphql = 600, worker = 240 }
    error_message = "The time-outs are 600 s and 240 s."
  }
  assert {
    condition     = { for k, f in google_cloudfunctions2_function.this : k => f.service_config[0].service_account_email } == { graphql = "graphql@x.iam", worker = "worker@x.iam" }
    error_message = "Each function has an account of its own."
  }
  assert {
    condition     = { for k, f in google_cloudfunctions2_function.this : k => f.service_config[0].ingress_settings } == { graphql = "ALLOW_ALL", worker = "ALLOW_INTERNAL_ONLY" }
    error_message = "Only the GraphQL function is reached from outside."
  }
  assert {
    condition     = { for k, f in google_cloudfunctions2_function.this : k => f.build_config[0].entry_point } == { graphql = "graphql", worker = "worker" }
    error_message = "Each function starts at its own entry point."
  }
  assert {
    condition     = alltrue([for k, f in google_cloudfunctions2_function.this : can(regex("^${k}-[0-9a-f]{16}[.]zip$", f.build_config[0].source[0].storage_source[0].object))])
    error_message = "Each function is built from a bundle named by its hash."
  }
}

run "no_secret_is_in_the_environment_or_the_state" {
  command = plan

  assert {
    condition = alltrue([for f in google_cloudfunctions2_function.this : f.service_config[0].environment_variables == tomap({
      CONCURRENT_JOBS         = "20"
      DAILY_CALLS             = "500"
      DAILY_DOLLARS           = "50"
      DEAD_LETTER_TOPIC       = "projects/demo-project/topics/dead-letters"
      GEMINI_LOCATION         = "global"
      GEMINI_MODE             = "api"
      GEMINI_PROJECT          = "demo-project"
      MALLOC_MMAP_THRESHOLD_  = "16777216"
      MALLOC_TRIM_THRESHOLD_  = "16777216"
      MAX_IN_FLIGHT           = "250"
      PRINCIPAL_DAILY_CALLS   = "100"
      PRINCIPAL_DAILY_DOLLARS = "10"
      PUBSUB_TOPIC            = "projects/demo-project/topics/jobs"
      REDIS_CA_CERT           = "CERTIFICATE"
      REQUESTS_PER_MINUTE     = "60"
    })])
    error_message = "The plain environment holds sizes, ceilings, addresses, names and a public certificate."
  }
  assert {
    condition     = { for name, f in google_cloudfunctions2_function.this : name => [for s in f.service_config[0].secret_environment_variables : s.key] } == { graphql = ["API_KEYS", "GEMINI_API_KEY", "IMAGE_SIGNING_KEY", "REDIS_URL"], worker = ["GEMINI_API_KEY", "REDIS_URL"] }
    error_message = "Keys and the address with the password come from Secret Manager, and only the function that faces callers knows theirs."
  }
  assert {
    condition     = alltrue([for v in concat(values(google_secret_manager_secret_version.redis_url), google_secret_manager_secret_version.gemini_api_key, google_secret_manager_secret_version.api_keys) : v.secret_data == null && v.secret_data_wo == null])
    error_message = "Secret values are write-only: the state has none."
  }
}

run "roles_are_few_and_on_resources" {
  command = plan

  assert {
    condition     = google_pubsub_topic_iam_member.graphql_publisher.topic == "projects/demo-project/topics/jobs" && google_pubsub_topic_iam_member.graphql_publisher.member == "serviceAccount:graphql@x.iam" && google_pubsub_topic_iam_member.graphql_publisher.role == "roles/pubsub.publisher"
    error_message = "The GraphQL function publishes to the topic of the jobs."
  }
  assert {
    condition     = google_pubsub_topic_iam_member.worker_dead_letterer.topic == "projects/demo-project/topics/dead-letters" && google_pubsub_topic_iam_member.worker_dead_letterer.member == "serviceAccount:worker@x.iam" && google_pubsub_topic_iam_member.worker_dead_letterer.role == "roles/pubsub.publisher"
    error_message = "The worker publishes to the dead-letter topic."
  }
  assert {
    condition     = alltrue([for grant in [google_pubsub_topic_iam_member.pubsub_agent_dead_letterer, google_pubsub_subscription_iam_member.pubsub_agent_subscriber, google_service_account_iam_member.pubsub_agent_token_creator] : grant.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"])
    error_message = "Pub/Sub's own account may forward dead letters and make the push account's tokens."
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_member.worker_invoker.member == "serviceAccount:push@x.iam" && google_cloud_run_v2_service_iam_member.worker_invoker.role == "roles/run.invoker"
    error_message = "Only the push account calls the worker."
  }
  assert {
    condition     = alltrue([for grant in google_secret_manager_secret_iam_member.reader : grant.role == "roles/secretmanager.secretAccessor"]) && keys(google_secret_manager_secret_iam_member.reader) == ["graphql/API_KEYS", "graphql/GEMINI_API_KEY", "graphql/IMAGE_SIGNING_KEY", "graphql/REDIS_URL", "worker/GEMINI_API_KEY", "worker/REDIS_URL"]
    error_message = "Each function reads the secrets that it needs, and no more."
  }
  assert {
    condition     = length(google_project_iam_member.gemini_caller) == 0 && google_project_iam_member.build_logs.member == "serviceAccount:build@x.iam" && length(google_project_iam_member.build_source_reader.condition) == 1
    error_message = "On the project, only the build has grants: logs, and the sources of Cloud Functions."
  }
}

run "nobody_is_woken_without_an_address" {
  command = plan

  assert {
    condition     = length(google_monitoring_alert_policy.event) + length(google_monitoring_alert_policy.waiting_jobs) + length(google_monitoring_notification_channel.email) == 0
    error_message = "There is nobody to write to."
  }
}
