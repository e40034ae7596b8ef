// What somebody must hear of. Each rule reads the log: the program writes one JSON object in each line, and the
// Functions host hands it on as the message of a trace. README.md says what each alert means and what to do.

param name string
param location string
param tags object
param email string
param componentId string

// The action group's name in messages; Azure takes no more characters.
var shortNameLength = 12

// How often each rule looks. Azure charges several times as much for every five minutes.
var pace = 'PT15M'

// The program's own lines, taken apart.
var programLines = '''
traces
| where tostring(customDimensions.Category) == 'Host.Function.Console'
| extend line = parse_json(message)
'''

// The lines of the Functions host.
var hostLines = '''
traces
| where tostring(customDimensions.Category) != 'Host.Function.Console'
'''

var rules = [
  {
    name: 'failed-duty'
    description: 'A duty was tried for three days and is given up: nobody goes on until an operator asks for it.'
    severity: 1
    window: 'PT15M'
    operator: 'GreaterThanOrEqual'
    threshold: 1
    lines: programLines
    query: '''
| where tostring(line.message) == 'the duty failed: nobody tries again until an operator or the buyer asks for it'
| project timestamp, subscription = tostring(line.subscription_id), duty = tostring(line.duty), why = tostring(line.why)
'''
  }
  {
    name: 'webhook-rejected'
    description: 'The webhook answered 401 again and again: strangers call, or Partner Center has other ids.'
    severity: 2
    window: 'PT1H'
    operator: 'GreaterThanOrEqual'
    threshold: 3
    lines: programLines
    query: '''
| where tostring(line.code) == 'caller_refused'
| project timestamp, why = tostring(line.message), invocation = tostring(line.span.invocation_id)
'''
  }
  {
    name: 'webhook-unanswered'
    description: 'The webhook could not answer the marketplace, which comes again for eight hours and then gives up.'
    severity: 1
    window: 'PT1H'
    operator: 'GreaterThanOrEqual'
    threshold: 3
    lines: programLines
    query: '''
| where tostring(line.span.function) == 'webhook' and toint(line.status) >= 500
| project timestamp, code = tostring(line.code), subscription = tostring(line.span.subscription_id)
'''
  }
  {
    name: 'webhook-missed'
    description: 'The hourly comparison repaired a record: something happened at Microsoft of which no webhook told us.'
    severity: 3
    window: 'PT1H'
    operator: 'GreaterThanOrEqual'
    threshold: 1
    lines: programLines
    query: '''
| where tostring(line.message) == 'repaired'
| project timestamp, subscription = tostring(line.subscription_id), why = tostring(line.why)
'''
  }
  {
    name: 'silence'
    description: 'No function has answered for an hour: the program does not start, or its log does not arrive.'
    severity: 1
    window: 'PT1H'
    operator: 'LessThan'
    threshold: 1
    lines: programLines
    query: '''
| where tostring(line.message) == 'answered'
'''
  }
  {
    name: 'no-sweep'
    description: 'The sweep, which runs every five minutes, has not run for fifteen: bells that were lost stay lost.'
    severity: 2
    window: 'PT15M'
    operator: 'LessThan'
    threshold: 1
    lines: programLines
    query: '''
| where tostring(line.message) == 'swept'
'''
  }
  {
    name: 'secret-expires'
    description: 'A secret or certificate ends within 30 days. Without a new one no call to the marketplace succeeds.'
    severity: 2
    window: 'P1D'
    operator: 'GreaterThanOrEqual'
    threshold: 1
    lines: programLines
    query: '''
| where tostring(line.message) == 'a secret expires soon'
| project timestamp, secret = tostring(line.secret), ends = todatetime(line.expires_at)
'''
  }
  {
    name: 'events-parked'
    description: 'The publisher\'s own software has taken no event for two days, or wants no more. Nothing is sent to it.'
    severity: 2
    window: 'PT1H'
    operator: 'GreaterThanOrEqual'
    threshold: 1
    lines: programLines
    query: '''
| where tostring(line.message) == 'the events endpoint is parked: nothing is sent until somebody resumes it'
| project timestamp, subscription = tostring(line.span.subscription_id)
'''
  }
  {
    name: 'poison'
    description: 'The host gave up on a queue message. The sweep rings again for what is owed.'
    severity: 2
    window: 'PT1H'
    operator: 'GreaterThanOrEqual'
    threshold: 1
    lines: hostLines
    query: '''
| where message startswith 'Message has reached MaxDequeueCount'
'''
  }
  {
    name: 'errors'
    description: 'The program logged an error: something that it cannot mend by itself.'
    severity: 3
    window: 'PT1H'
    operator: 'GreaterThanOrEqual'
    threshold: 1
    lines: programLines
    query: '''
| where tostring(line.level) == 'ERROR'
| project timestamp, what = tostring(line.message), invocation = tostring(line.span.invocation_id)
'''
  }
]

resource recipients 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'ag-${name}'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: take(name, shortNameLength)
    emailReceivers: [
      {
        name: 'operator'
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
  }
}

resource alerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for rule in rules: {
  name: '${name}-${rule.name}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: '${name}: ${rule.name}'
    description: rule.description
    enabled: true
    severity: rule.severity
    scopes: [
      componentId
    ]
    evaluationFrequency: pace
    windowSize: rule.window
    // One mail when it begins and one when it is over, not one for every look.
    autoMitigate: true
    // A workspace into which nothing was ever logged does not know the columns yet.
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: '${rule.lines}${rule.query}'
          timeAggregation: 'Count'
          operator: rule.operator
          threshold: rule.threshold
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: [
        recipients.id
      ]
    }
  }
}]
