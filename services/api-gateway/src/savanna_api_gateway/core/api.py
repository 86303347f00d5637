"""All that the API can do, in one place: what REST and gRPC stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna_api_gateway.core.clusters import ClusterWork
from savanna_api_gateway.core.images import Images
from savanna_api_gateway.core.job_binaries import JobBinaries
from savanna_api_gateway.core.job_templates import JobTemplates
from savanna_api_gateway.core.jobs import JobWork
from savanna_api_gateway.core.mesh import Mesh
from savanna_api_gateway.core.operations import Operations
from savanna_api_gateway.core.orphans import Orphans
from savanna_api_gateway.core.reads import Clusters, Jobs
from savanna_api_gateway.core.scale import Scaling
from savanna_api_gateway.core.survey import Survey
from savanna_api_gateway.core.templates import ClusterTemplates, NodeGroupTemplates
from savanna_api_gateway.shelf import Shelves

if TYPE_CHECKING:
    from savanna_api_gateway.cloud import Cloud
    from savanna_api_gateway.conductor import Conductor
    from savanna_api_gateway.plugins import PluginDirectory


class Api:
    """The nouns and what can be done with them."""

    def __init__(
        self,
        conductor: Conductor,
        plugins: PluginDirectory,
        cloud: Cloud,
        *,
        job_binary_limit: int,
    ) -> None:
        shelves = Shelves(conductor)
        self.plugins = plugins
        self.images = Images(cloud, shelves.images)
        survey = Survey(plugins, self.images)
        reads = Clusters(conductor)
        self.node_group_templates = NodeGroupTemplates(shelves, survey, reads)
        self.cluster_templates = ClusterTemplates(shelves, survey, reads)
        self.clusters = ClusterWork(conductor, shelves, survey, reads)
        self.scaling = Scaling(conductor, shelves, survey)
        self.operations = Operations(conductor)
        self.orphans = Orphans(cloud)
        self.mesh = Mesh(conductor)
        self.job_binaries = JobBinaries(conductor, shelves, limit=job_binary_limit)
        self.job_templates = JobTemplates(shelves)
        self.jobs = JobWork(conductor, shelves, survey, clusters=reads, reads=Jobs(conductor))
