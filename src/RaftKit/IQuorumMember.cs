using RaftKit.Node.Loop;

namespace RaftKit;

/// <summary>The member of the quorum that this process embeds. From dependency injection; any thread may use it.</summary>
public interface IQuorumMember
{
    /// <summary>What the member knows of the quorum at this moment: its role, its term, its leader. Null before it started.</summary>
    NodeStatus? Status { get; }
}
