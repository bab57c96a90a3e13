"""What the gateway calls, each edge with its policy, and who listens to it.

`reservations` and `inventory` speak for buyers; `mesh` asks all five services how they are; in the lab `crowd` plays
buyers and `auditor` has the books judged; `live` is the other end of the live stream.
"""

from gateway.clients.auditor import Auditor
from gateway.clients.crowd import Crowd
from gateway.clients.inventory import Inventory
from gateway.clients.live import Live
from gateway.clients.mesh import Mesh
from gateway.clients.refusals import relayed
from gateway.clients.reservations import Reservations

__all__ = ["Auditor", "Crowd", "Inventory", "Live", "Mesh", "Reservations", "relayed"]
