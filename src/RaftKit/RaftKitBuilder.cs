using Microsoft.Extensions.DependencyInjection;
using RaftKit.Recipes;

namespace RaftKit;

/// <summary>Adds to a cluster that was registered with <c>AddRaftKit</c>.</summary>
public sealed class RaftKitBuilder
{
    internal RaftKitBuilder(IServiceCollection services, string? key)
    {
        Services = services;
        Key = key;
    }

    /// <summary>The application's services.</summary>
    public IServiceCollection Services { get; }

    /// <summary>The cluster's key; null for the one without.</summary>
    public string? Key { get; }

    /// <summary>
    /// Registers the <see cref="LeaderElection"/> at a path as a singleton: without a key, and (to tell several apart) under its path as the key. A cluster with
    /// a key registers it under <c>{key}:{path}</c> only.
    /// </summary>
    /// <param name="path">The parent of the entries, such as <c>/elections/scheduler</c>; created when it is missing.</param>
    /// <param name="data">What others learn of this process when it leads.</param>
    public RaftKitBuilder AddLeaderElection(string path, ReadOnlyMemory<byte> data = default)
    {
        if (Key is { } key)
        {
            Services.AddKeyedSingleton($"{key}:{path}", (sp, _) => sp.GetRequiredKeyedService<ILeaderElections>(key).For(path, data));
            return this;
        }

        Services.AddKeyedSingleton(path, (sp, _) => sp.GetRequiredService<ILeaderElections>().For(path, data));
        Services.AddSingleton(sp => sp.GetRequiredService<ILeaderElections>().For(path, data));
        return this;
    }
}
