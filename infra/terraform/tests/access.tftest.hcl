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
    condition     = !strcontains(output.curl, "identity-token")
    error_message = "The ready curl needs no token of Google's."
  }
  assert {
    condition     = strcontains(output.curl, "Authorization: Bearer $RUBYDRAW_KEY") && strcontains(output.curl_free, "Authorization: Bearer $RUBYDRAW_KEY")
    error_message = "It brings an API key, which stands in no argument."
  }
  assert {
    condition     = !contains(keys(google_cloudfunctions2_function.this["graphql"].service_config[0].environment_variables), "ACCESS")
    error_message = "Access is required, as the code has it by default."
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
    condition     = alltrue([for curl in [output.curl, output.curl_free] : strcontains(curl, "X-Serverless-Authorization: Bearer $(gcloud auth print-identity-token)") && strcontains(curl, "Authorization: Bearer $RUBYDRAW_KEY")])
    error_message = "The ready curl brings a token for Google's IAM, and a key for the function."
  }
}

run "a_public_function_without_access_fails" {
  command = plan

  variables {
    access = { mode = "off" }
  }

  expect_failures = [var.allow_unauthenticated_spending]
}

run "a_function_for_any_google_account_without_access_fails" {
  command = plan

  variables {
    access                         = { mode = "off" }
    allow_unauthenticated_spending = "yes"
    graphql_invokers               = ["allAuthenticatedUsers", "user:me@example.com"]
  }

  expect_failures = [var.allow_unauthenticated_spending]
}

run "anybody_may_spend_if_it_is_said_in_words" {
  command = plan

  variables {
    access                         = { mode = "off" }
    allow_unauthenticated_spending = "yes, anyone may spend our money"
  }

  assert {
    condition     = alltrue([for f in google_cloudfunctions2_function.this : f.service_config[0].environment_variables["ACCESS"] == "off"])
    error_message = "The function is told so."
  }
  assert {
    condition     = !contains(keys(google_secret_manager_secret.this), "API_KEYS") && length(google_secret_manager_secret_version.api_keys) == 0 && output.add_api_keys == "" && !strcontains(output.curl, "Authorization")
    error_message = "Then there are no keys at all."
  }
}

run "a_private_function_may_leave_access_to_iam" {
  command = plan

  variables {
    access           = { mode = "off" }
    graphql_invokers = ["group:team@example.com"]
  }

  assert {
    condition     = google_cloudfunctions2_function.this["graphql"].service_config[0].environment_variables["ACCESS"] == "off"
    error_message = "Google's IAM alone decides."
  }
}

run "an_issuer_of_tokens_is_told_to_the_function" {
  command = plan

  variables {
    access = { jwt = { audience = "my-app", issuer = "https://securetoken.google.com/my-app", jwks_url = "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com" } }
  }

  assert {
    condition     = { for k, v in google_cloudfunctions2_function.this["graphql"].service_config[0].environment_variables : k => v if startswith(k, "JWT_") } == { JWT_AUDIENCE = "my-app", JWT_ISSUER = "https://securetoken.google.com/my-app", JWT_JWKS_URL = "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com" }
    error_message = "Issuer, audience and the address of its keys are settings."
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
