{{- define "replicator.name" -}}
{{- if contains "replicator" .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-replicator" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "replicator.selector" -}}
app.kubernetes.io/name: replicator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* labels of an object: (dict "root" $ "component" "worker") */}}
{{- define "replicator.labels" -}}
{{ include "replicator.selector" .root }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "replicator.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "replicator.configuration" -}}
{{- if not (and .Values.config.deployment .Values.config.tables) -}}
{{- fail "config.deployment and config.tables are required, or existingConfigMap" -}}
{{- end -}}
{{- toYaml (merge (dict "version" 1) .Values.config) -}}
{{- end -}}

{{- define "replicator.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "replicator.name" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{/* whether the job brings a service account of its own, which lives as long as it does */}}
{{- define "replicator.migrateBringsAccount" -}}
{{- if and .Values.serviceAccount.create (not .Values.migrate.serviceAccount.name) -}}yes{{- end -}}
{{- end -}}

{{- define "replicator.migrateServiceAccount" -}}
{{- if .Values.migrate.serviceAccount.name -}}
{{ .Values.migrate.serviceAccount.name }}
{{- else if .Values.serviceAccount.create -}}
{{ include "replicator.name" . }}-migrate
{{- else -}}
{{ include "replicator.serviceAccount" . }}
{{- end -}}
{{- end -}}

{{- define "replicator.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "replicator.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* environment: (dict "root" $ "migrate" true) */}}
{{- define "replicator.env" -}}
{{- $values := .root.Values -}}
- {name: REPLICATOR_HTTP__HOST, value: {{ $values.http.host | quote }}}
- {name: REPLICATOR_HTTP__PORT, value: {{ $values.http.port | quote }}}
{{- if $values.database.passwordSecret.name }}
- {name: REPLICATOR_TARGET__PASSWORD_FILE, value: /run/secrets/replicator/password/password}
{{- end }}
{{- if $values.database.dsnSecret.name }}
- {name: REPLICATOR_TARGET__DSN_FILE, value: /run/secrets/replicator/dsn/dsn}
{{- end }}
{{- if and .migrate $values.database.migrateDsnSecret.name }}
- {name: REPLICATOR_TARGET__MIGRATE_DSN_FILE, value: /run/secrets/replicator/migrate-dsn/dsn}
{{- end }}
{{- if $values.hashing.saltSecret.name }}
- {name: REPLICATOR_HASHING__SALT_FILE, value: /run/secrets/replicator/salt/salt}
{{- end }}
{{- if $values.database.caConfigMap.name }}
- {name: PGSSLROOTCERT, value: /etc/ssl/replicator/ca.pem}
{{- end }}
{{- with $values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* what is mounted where: (dict "root" $ "migrate" true) */}}
{{- define "replicator.mounts" -}}
{{- $database := .root.Values.database -}}
- {name: config, mountPath: /etc/replicator, readOnly: true}
{{- if $database.passwordSecret.name }}
- {name: password, mountPath: /run/secrets/replicator/password, readOnly: true}
{{- end }}
{{- if $database.dsnSecret.name }}
- {name: dsn, mountPath: /run/secrets/replicator/dsn, readOnly: true}
{{- end }}
{{- if and .migrate $database.migrateDsnSecret.name }}
- {name: migrate-dsn, mountPath: /run/secrets/replicator/migrate-dsn, readOnly: true}
{{- end }}
{{- if .root.Values.hashing.saltSecret.name }}
- {name: salt, mountPath: /run/secrets/replicator/salt, readOnly: true}
{{- end }}
{{- if $database.caConfigMap.name }}
- {name: ca, mountPath: /etc/ssl/replicator, readOnly: true}
{{- end }}
{{- end -}}

{{/* the volumes behind the mounts: (dict "root" $ "migrate" true "configMap" name) */}}
{{- define "replicator.volumes" -}}
{{- $database := .root.Values.database -}}
- name: config
  configMap:
    name: {{ .root.Values.existingConfigMap | default .configMap }}
{{- with $database.passwordSecret }}{{ if .name }}
- name: password
  secret:
    secretName: {{ .name }}
    defaultMode: 0440
    items: [{key: {{ .key | quote }}, path: password}]
{{- end }}{{ end }}
{{- with $database.dsnSecret }}{{ if .name }}
- name: dsn
  secret:
    secretName: {{ .name }}
    defaultMode: 0440
    items: [{key: {{ .key | quote }}, path: dsn}]
{{- end }}{{ end }}
{{- if and .migrate $database.migrateDsnSecret.name }}
- name: migrate-dsn
  secret:
    secretName: {{ $database.migrateDsnSecret.name }}
    defaultMode: 0440
    items: [{key: {{ $database.migrateDsnSecret.key | quote }}, path: dsn}]
{{- end }}
{{- with .root.Values.hashing.saltSecret }}{{ if .name }}
- name: salt
  secret:
    secretName: {{ .name }}
    defaultMode: 0440
    items: [{key: {{ .key | quote }}, path: salt}]
{{- end }}{{ end }}
{{- with $database.caConfigMap }}{{ if .name }}
- name: ca
  configMap:
    name: {{ .name }}
    items: [{key: {{ .key | quote }}, path: ca.pem}]
{{- end }}{{ end }}
{{- end -}}

{{- define "replicator.egress" -}}
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
- ports: [{port: 443, protocol: TCP}]
  {{- with .Values.networkPolicy.awsTo }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
- ports: [{port: {{ .Values.networkPolicy.databasePort }}, protocol: TCP}]
  {{- with .Values.networkPolicy.databaseTo }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- if .Values.networkPolicy.podIdentityAgent }}
- ports: [{port: 80, protocol: TCP}]
  to:
    - ipBlock: {cidr: 169.254.170.23/32}
    - ipBlock: {cidr: "fd00:ec2::23/128"}
{{- end }}
{{- with .Values.networkPolicy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}
