# Who may call the functions, and that a plan which opens the worker to everybody fails.

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

run "graphql_is_public_by_default" {
  command = plan

  assert {
    condition     = keys(google_cloud_run_v2_service_iam_member.graphql_invoker) == ["allUsers"]
    error_message = "Browsers need no Google account."
  }
  assert {
    condition     = !strcontains(output.curl, "Authorization")
    error_message = "The ready curl needs no token."
  }
}

run "graphql_is_private_by_one_variable" {
  command = plan

  variables {
    graphql_invokers = ["group:team@example.com"]
  }

  assert {
    condition     = [for grant in google_cloud_run_v2_service_iam_member.graphql_invoker : grant.member] == ["group:team@example.com"]
    error_message = "Only the members named may call."
  }
  assert {
    condition     = strcontains(output.curl, "print-identity-token") && strcontains(output.curl_free, "print-identity-token")
    error_message = "The ready curl brings a token."
  }
}

run "a_public_worker_fails" {
  command = plan

  override_resource {
    target          = google_service_account.push
    override_during = plan
    values          = { email = "push@x.iam", member = "allUsers" }
  }

  expect_failures = [google_cloud_run_v2_service_iam_member.worker_invoker]
}
