namespace RaftKit.Hosting;

/// <summary>Makes the member of a cluster from its validated options. Tests put a member of their own here.</summary>
internal interface IClusterMemberFactory
{
    IClusterMember Create(RaftKitOptions options);
}
