using RaftKit.Node.Loop;

namespace RaftKit.Hosting;

/// <summary>Makes the member of a cluster from its validated options. Tests put a member of their own here.</summary>
internal interface IClusterMemberFactory
{
    /// <param name="options">The member's options.</param>
    /// <param name="machines">The application's own state machines.</param>
    IClusterMember Create(RaftKitOptions options, IReadOnlyList<IStateMachine> machines);
}
