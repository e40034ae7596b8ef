// Where the log goes: Application Insights over a workspace of its own, so that retention and cost are this app's
// alone.

param workspaceName string
param componentName string
param location string
param tags object
param retention int
param dailyLimit int

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: workspaceName
  location: location
  tags: tags
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: retention
    workspaceCapping: {
      dailyQuotaGb: dailyLimit
    }
  }
}

resource component 'Microsoft.Insights/components@2020-02-02' = {
  name: componentName
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    // The connection string says where, and is no permission: who sends telemetry needs a role.
    DisableLocalAuth: true
  }
}

output componentId string = component.id
output componentName string = component.name
output connectionString string = component.properties.ConnectionString
