output "add_api_keys" {
  description = "Adds a list of API keys as a new version of its secret: reads it from API_KEYS. Empty where access.mode is off."
  value = var.access.mode == "off" ? "" : join(" ", [
    "printf %s \"$API_KEYS\" |",
    "gcloud secrets versions add ${google_secret_manager_secret.this["API_KEYS"].secret_id}",
    "--project=${var.project_id} --data-file=-",
  ])
}

output "add_gemini_api_key" {
  description = "Adds a key as a new version of its secret: reads it from GEMINI_API_KEY. Empty in the mode vertex."
  value = var.gemini.mode == "vertex" ? "" : join(" ", [
    "printf %s \"$GEMINI_API_KEY\" |",
    "gcloud secrets versions add ${google_secret_manager_secret.this["GEMINI_API_KEY"].secret_id}",
    "--project=${var.project_id} --data-file=-",
  ])
}

output "curl" {
  description = "Redraws sketch.png in the current folder, with the API key in RUBYDRAW_KEY. One billed call, the second time a cached answer."
  value = join(" ", [
    "printf '{\"query\":\"mutation($i:ImproveSketchInput!){improveSketch(input:$i){result{title imageBase64} errors}}\",\"variables\":{\"i\":{\"pngBase64\":\"%s\"}}}'",
    "\"$(base64 < sketch.png | tr -d '\\n')\" |",
    "curl --silent --show-error --header 'Content-Type: application/json'${local.curl_credentials} --data-binary @- ${local.endpoint}",
  ])
}

output "curl_free" {
  description = "Asks for the status of a job that does not exist: proves function, network and Redis, and costs nothing."
  value       = "curl --silent --show-error --header 'Content-Type: application/json'${local.curl_credentials} --data '{\"query\":\"{improveSketchStatus(requestId:\\\"00000000-0000-4000-8000-000000000000\\\"){status}}\"}' ${local.endpoint}"
}

output "dead_letter_subscription" {
  description = "Where the jobs that were given up wait."
  value       = google_pubsub_subscription.dead_letters.id
}

output "endpoint" {
  description = "Address that the front end sends its GraphQL to."
  value       = local.endpoint
}

output "topic" {
  description = "Topic of the background jobs."
  value       = google_pubsub_topic.jobs.id
}

locals {
  endpoint = "${google_cloudfunctions2_function.this["graphql"].service_config[0].uri}/graphql"

  # Google's IAM takes its token from a header of its own where Authorization holds ours.
  public         = contains(var.graphql_invokers, "allUsers")
  identity_token = "Bearer $(gcloud auth print-identity-token)"
  curl_credentials = join("", [
    local.public ? "" : " --header \"X-Serverless-Authorization: ${local.identity_token}\"",
    var.access.mode == "off" ? "" : " --header \"Authorization: Bearer $RUBYDRAW_KEY\"",
  ])
}
