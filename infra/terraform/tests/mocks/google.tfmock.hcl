# What Google Cloud would fill in, recognisable and made up.

mock_resource "google_redis_instance" {
  defaults = {
    auth_string     = "canary-password"
    host            = "10.0.0.3"
    port            = 6378
    server_ca_certs = [{ cert = "CERTIFICATE", create_time = "", expire_time = "", serial_number = "", sha1_fingerprint = "" }]
  }
}
mock_resource "google_storage_bucket" {
  defaults = { project_number = 123456789012 }
}
override_resource {
  target = google_cloudfunctions2_function.this["graphql"]
  values = { service_config = { uri = "https://graphql.run.app" } }
}
override_resource {
  target = google_cloudfunctions2_function.this["worker"]
  values = { service_config = { uri = "https://worker.run.app" } }
}
override_resource {
  target = google_service_account.build
  values = { id = "projects/demo-project/serviceAccounts/build@x.iam", member = "serviceAccount:build@x.iam" }
}
override_resource {
  target = google_service_account.function["graphql"]
  values = { email = "graphql@x.iam", member = "serviceAccount:graphql@x.iam" }
}
override_resource {
  target = google_service_account.function["worker"]
  values = { email = "worker@x.iam", member = "serviceAccount:worker@x.iam" }
}
override_resource {
  target = google_service_account.push
  values = { email = "push@x.iam", member = "serviceAccount:push@x.iam" }
}
override_resource {
  target = google_pubsub_topic.jobs
  values = { id = "projects/demo-project/topics/jobs" }
}
override_resource {
  target = google_pubsub_topic.dead_letters
  values = { id = "projects/demo-project/topics/dead-letters" }
}
