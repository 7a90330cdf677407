output "add_api_keys" {
  description = "Command that adds the list of API keys in the variable API_KEYS as a new version of its secret. Empty if access.mode is off."
  value = var.access.mode == "off" ? "" : join(" ", [
    "printf %s \"$API_KEYS\" |",
    "gcloud secrets versions add ${google_secret_manager_secret.this["API_KEYS"].secret_id}",
    "--project=${var.project_id} --data-file=-",
  ])
}

output "add_gemini_api_key" {
  description = "Command that adds the key in the variable GEMINI_API_KEY as a new version of its secret. Empty if gemini.mode is vertex."
  value = var.gemini.mode == "vertex" ? "" : join(" ", [
    "printf %s \"$GEMINI_API_KEY\" |",
    "gcloud secrets versions add ${google_secret_manager_secret.this["GEMINI_API_KEY"].secret_id}",
    "--project=${var.project_id} --data-file=-",
  ])
}

output "curl" {
  description = "Command that redraws sketch.png in the current folder, with the API key in RUBYDRAW_KEY. It makes one billed call; the second time the answer is cached."
  value = join(" ", [
    "printf '{\"query\":\"mutation($i:ImproveSketchInput!){improveSketch(input:$i){result{title imageBase64} errors}}\",\"variables\":{\"i\":{\"pngBase64\":\"%s\"}}}'",
    "\"$(base64 < sketch.png | tr -d '\\n')\" |",
    "curl --silent --show-error --header 'Content-Type: application/json'${local.curl_credentials} --data-binary @- ${local.endpoint}",
  ])
}

output "curl_free" {
  description = "Command that asks for the status of a job that does not exist. It checks the function, the network and Redis, and costs nothing."
  value       = "curl --silent --show-error --header 'Content-Type: application/json'${local.curl_credentials} --data '{\"query\":\"{improveSketchStatus(requestId:\\\"00000000-0000-4000-8000-000000000000\\\"){status}}\"}' ${local.endpoint}"
}

output "dead_letter_subscription" {
  description = "Subscription that holds the jobs that were given up."
  value       = google_pubsub_subscription.dead_letters.id
}

output "endpoint" {
  description = "Address to which the front end sends its GraphQL."
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
