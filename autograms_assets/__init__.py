"""The assets: one file a concept, each a thin body over ``autograms``.

What does not belong here: resources, jobs, sensors and the definitions (``dagster_project``), which import this
package and are never imported by it. Modules that define assets do without postponed annotations: Dagster reads the
annotations of an asset's parameters.
"""
