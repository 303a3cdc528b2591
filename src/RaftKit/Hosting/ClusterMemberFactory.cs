namespace RaftKit.Hosting;

/// <summary>Puts the member together: the node, the tree and the sessions.</summary>
internal sealed class ClusterMemberFactory : IClusterMemberFactory
{
    public IClusterMember Create(RaftKitOptions options) =>
        throw new NotSupportedException("The node is not part of this build yet.");
}
